"""Distil a BERT into one twice as deep and a third as wide: the base of the quickstart.

The student's layer 2k learns the teacher's layer k through a linear map, as in TinyBERT (arXiv 1909.10351). Its pooled
output learns the teacher's sentence embedding and the similarities inside the batch (arXiv 1907.09682). The maps are
not part of the base.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, BertConfig, BertModel

from sbert_prune.errors import EncoderError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tools.quickstart_base.base_corpus import Batch, Corpus, Padded
    from tools.quickstart_base.make_base import Distillation

MAPS_FILE = "maps.safetensors"
_LAYERS_PER_TEACHER_LAYER = 2
_MAX_POSITIONS = 128
_EMBEDDING_SPREAD = 0.05  # a little more than BERT's 0.02
_MAX_GRADIENT_NORM = 1.0
_SEED = 0
_LAST_LAYER_WEIGHT, _LAYER_WEIGHT, _COSINE_WEIGHT, _SIMILARITY_WEIGHT = 1.0, 0.15, 2.0, 10.0
_LOAD: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
_ATTENTION: dict[str, Any] = {"attn_implementation": "eager"}
"""With heads this narrow, torch 2.13's fused attention takes 2.4 times as long per step on a CPU in bfloat16."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the training.

    Attributes:
        optimizer_step: Number of optimizer steps so far.
        done: Share of the time used, 0 to 1.
        loss: Loss of the last batch.
        num_pieces: Number of pieces that the student was trained on so far.
    """

    optimizer_step: int
    done: float
    loss: float
    num_pieces: int


Report = Callable[[Progress], None]


@final
class Student(nn.Module):
    """The encoder that becomes the base, and a linear map from each trained layer to the teacher's."""

    def __init__(self, encoder: BertModel, teacher: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        num_maps = teacher.config.num_hidden_layers + 1  # plus one for the embeddings' output
        student_width, teacher_width = encoder.config.hidden_size, teacher.config.hidden_size
        self.maps = nn.ModuleList(nn.Linear(student_width, teacher_width) for _ in range(num_maps))

    def save(self, folder: Path) -> None:
        """Write the encoder in half precision, and the maps, which only a resumed run needs."""
        self.encoder.half()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        self.encoder.save_pretrained(folder)
        save_file(self.maps.state_dict(), folder / MAPS_FILE)


def load_teacher(folder: Path) -> BertModel:
    """Load the teacher, in bfloat16 if this CPU supports it."""
    dtype = torch.bfloat16 if _has_bfloat16() else torch.float32
    teacher: BertModel = BertModel.from_pretrained(folder, dtype=dtype, **_LOAD)
    return teacher


def new_student(teacher: BertModel, rows: NDArray[np.intp], settings: Distillation) -> Student:
    """Return a random encoder whose word embeddings are the principal components of the teacher's.

    Args:
        teacher: The teacher.
        rows: The teacher's id of each of the student's pieces. *Shape:* (pieces,)
        settings: The student's size.

    Raises:
        EncoderError: There are fewer components than the student is wide.
    """
    torch.manual_seed(_SEED)
    words = teacher.embeddings.word_embeddings.weight.detach()[torch.from_numpy(rows)].float()
    if min(words.shape) < settings.width:
        raise EncoderError(
            f"The teacher gives {words.shape[0]:,} pieces of width {words.shape[1]}, "
            f"too few for a student of width {settings.width}. Give more sentences, or a wider teacher."
        )
    config = _student_config(len(rows), _LAYERS_PER_TEACHER_LAYER * teacher.config.num_hidden_layers, settings)
    encoder = AutoModel.from_config(config, add_pooling_layer=False, **_ATTENTION)  # type: ignore[no-untyped-call]  # likewise
    student = Student(encoder, teacher)
    projected = (words - words.mean(0)) @ torch.pca_lowrank(words, q=settings.width, niter=8)[2]
    student.encoder.embeddings.word_embeddings.weight.data.copy_(projected / projected.std() * _EMBEDDING_SPREAD)
    return student


def load_student(folder: Path, teacher: BertModel) -> Student:
    """Load an encoder and its maps, as written by Student.save, in float32.

    Raises:
        EncoderError: The folder has no maps, or maps to another teacher.
    """
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32, **_ATTENTION, **_LOAD)
    student = Student(encoder, teacher)
    path = folder / MAPS_FILE
    if not path.is_file():
        raise EncoderError(
            f"{folder} holds no {MAPS_FILE}, so it cannot be resumed. Give a folder that this command wrote."
        )
    maps = load_file(path)
    if _shapes(maps) != _shapes(student.maps.state_dict()):
        layers = f"{teacher.config.num_hidden_layers} layers of width {teacher.config.hidden_size}"
        raise EncoderError(f"{path} does not fit this teacher's {layers}. Give the teacher it was made with.")
    student.maps.load_state_dict(maps)
    return student


def distil(teacher: BertModel, student: Student, corpus: Corpus, settings: Distillation, report: Report) -> None:
    """Train the student in place until the time is up.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    student.train()
    optimizer = torch.optim.AdamW(_parameter_groups(student), betas=(0.9, 0.98), fused=True)
    start, num_pieces = time.perf_counter(), 0
    for step, batch in enumerate(corpus.batches(settings.batch_size, np.random.default_rng(_SEED)), start=1):
        done = (time.perf_counter() - start) / settings.seconds
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate_at(step, done)
        loss = _loss(teacher, student, batch)
        _check_finite(loss.item(), step)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(student.encoder.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        num_pieces += int(batch.student.mask.sum())
        report(Progress(step, done, loss.item(), num_pieces))
    student.eval()


def _loss(teacher: BertModel, student: Student, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        teacher_states = _states(teacher, batch.teacher)
    target = _pool(teacher_states[-1], batch.teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_bfloat16()):
        student_states = _states(student.encoder, batch.student)[::_LAYERS_PER_TEACHER_LAYER]
        mapped = [to_teacher(states) for to_teacher, states in zip(student.maps, student_states, strict=True)]
    embeddings = _pool(mapped[-1], batch.student)
    cosine_loss = (1 - (embeddings * target).sum(-1)).mean()
    similarity_loss = (embeddings @ embeddings.T - target @ target.T).square().mean()
    token_loss = _token_loss(batch, mapped, teacher_states)
    return token_loss + _COSINE_WEIGHT * cosine_loss + _SIMILARITY_WEIGHT * similarity_loss


def _states(encoder: BertModel, sentences: Padded) -> tuple[torch.Tensor, ...]:
    """Return the output of the embeddings and of each layer. *Shape of each:* (sentences, pieces, width)"""
    ids, mask = torch.from_numpy(sentences.ids), torch.from_numpy(sentences.mask)
    states: tuple[torch.Tensor, ...] = encoder(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    return states


def _pool(states: torch.Tensor, sentences: Padded) -> torch.Tensor:
    """Return the normalized mean over each sentence's pieces in float32. *Shape:* (sentences, width)"""
    mask = torch.from_numpy(sentences.mask)[..., None]
    return nn.functional.normalize((states.float() * mask).sum(1) / mask.sum(1), dim=-1)


def _token_loss(batch: Batch, mapped: Sequence[torch.Tensor], teacher_states: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the squared error of the tokens, relative to the teacher's mean square, summed over the layers."""
    rows = torch.from_numpy(batch.same_pieces)
    width = min(batch.teacher.ids.shape[1], batch.student.ids.shape[1])  # in these rows, only padding follows
    mask = torch.from_numpy(batch.student.mask)[rows, :width, None]
    total = torch.zeros(())
    if not len(rows):
        return total
    for layer, (actual, expected) in enumerate(zip(mapped, teacher_states, strict=True)):
        target = expected[rows, :width].float()
        error = ((actual[rows, :width].float() - target).square() * mask).sum() / mask.sum() / target.shape[-1]
        weight = _LAST_LAYER_WEIGHT if layer == len(teacher_states) - 1 else _LAYER_WEIGHT
        total = total + weight * error / target.square().mean()
    return total


def _student_config(num_pieces: int, depth: int, settings: Distillation) -> BertConfig:
    return BertConfig(
        vocab_size=num_pieces,
        hidden_size=settings.width,
        num_hidden_layers=depth,
        num_attention_heads=settings.num_heads,
        intermediate_size=4 * settings.width,
        max_position_embeddings=_MAX_POSITIONS,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _parameter_groups(student: Student) -> list[dict[str, Any]]:
    """Apply weight decay to matrices only."""
    matrices = [parameter for parameter in student.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in student.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _has_bfloat16() -> bool:
    # Emulated bfloat16 is slower than float32. Same check as in training/hardware.py.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} at optimizer step {step}. "
            "Nothing was saved; start again from the last folder with --resume."
        )
