"""Distilling a BERT into one twice as deep and a third as wide, which is what the quickstart prunes.

The student's layer 2k learns the teacher's layer k through one linear map each, as in TinyBERT (arXiv 1909.10351); its pooled output
learns the teacher's sentence embedding and the similarities inside the batch (arXiv 1907.09682). The maps are no part of the base.
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
_LAYERS_A_LAYER = 2
_MAX_POSITIONS = 128
_EMBEDDING_SPREAD = 0.05  # a little over BERT's own 0.02
_MAX_GRADIENT_NORM = 1.0
_SEED = 0
_LAST_LAYER_WEIGHT, _LAYER_WEIGHT, _COSINE_WEIGHT, _SIMILARITY_WEIGHT = 1.0, 0.15, 2.0, 10.0
_LOAD: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
_ATTENTION: dict[str, Any] = {"attn_implementation": "eager"}
"""With heads this narrow, torch 2.13's fused attention is slow to train on a CPU: in bfloat16 a step takes 2.4 times as long."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands. done: share of the time that is used up, 0 to 1. num_pieces: seen by the student so far."""

    optimizer_step: int
    done: float
    loss: float
    num_pieces: int


Report = Callable[[Progress], None]


@final
class Student(nn.Module):
    """The encoder that becomes the base, and a map from each taught layer to its teacher."""

    def __init__(self, encoder: BertModel, teacher: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        num_taught = teacher.config.num_hidden_layers + 1  # with the embeddings' output
        self.maps = nn.ModuleList(nn.Linear(encoder.config.hidden_size, teacher.config.hidden_size) for _ in range(num_taught))

    def save(self, folder: Path) -> None:
        """Write the encoder in half precision and, beside it, the maps, which only a resumed run needs."""
        self.encoder.half()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        self.encoder.save_pretrained(folder)
        save_file(self.maps.state_dict(), folder / MAPS_FILE)


def load_teacher(folder: Path) -> BertModel:
    """Load a BERT to learn from, in bfloat16 where this CPU computes in it."""
    dtype = torch.bfloat16 if _has_bfloat16() else torch.float32
    teacher: BertModel = BertModel.from_pretrained(folder, dtype=dtype, **_LOAD)
    return teacher


def new_student(teacher: BertModel, rows: NDArray[np.intp], settings: Distillation) -> Student:
    """A random encoder whose word embeddings are the principal components of its teacher's.

    Raises EncoderError where there are fewer components than the student is wide.
    """
    torch.manual_seed(_SEED)
    words = teacher.embeddings.word_embeddings.weight.detach()[torch.from_numpy(rows)].float()
    if min(words.shape) < settings.width:
        raise EncoderError(
            f"The teacher gives {words.shape[0]:,} pieces of width {words.shape[1]}, too few for a student of width {settings.width}. "
            "Give more sentences, or a wider teacher."
        )
    config = _student_config(len(rows), _LAYERS_A_LAYER * teacher.config.num_hidden_layers, settings)
    encoder = AutoModel.from_config(config, add_pooling_layer=False, **_ATTENTION)  # type: ignore[no-untyped-call]  # likewise
    student = Student(encoder, teacher)
    projected = (words - words.mean(0)) @ torch.pca_lowrank(words, q=settings.width, niter=8)[2]
    student.encoder.embeddings.word_embeddings.weight.data.copy_(projected / projected.std() * _EMBEDDING_SPREAD)
    return student


def load_student(folder: Path, teacher: BertModel) -> Student:
    """Load an encoder and its maps, as Student.save left them, in float32.

    Raises EncoderError for a folder without maps, or with maps to another teacher.
    """
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32, **_ATTENTION, **_LOAD)
    student = Student(encoder, teacher)
    path = folder / MAPS_FILE
    if not path.is_file():
        raise EncoderError(f"{folder} holds no {MAPS_FILE}, so it cannot be resumed. Give a folder that this command wrote.")
    maps = load_file(path)
    if _shapes(maps) != _shapes(student.maps.state_dict()):
        taught = f"{teacher.config.num_hidden_layers} layers of width {teacher.config.hidden_size}"
        raise EncoderError(f"{path} does not fit this teacher's {taught}. Give the teacher it was made with.")
    student.maps.load_state_dict(maps)
    return student


def distil(teacher: BertModel, student: Student, corpus: Corpus, settings: Distillation, report: Report) -> None:
    """Train the student in place until the time is up. Raises TrainingError when the loss stops being a finite number."""
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
        wanted = _states(teacher, batch.teacher)
    goal = _pool(wanted[-1], batch.teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_bfloat16()):
        found = _states(student.encoder, batch.student)[::_LAYERS_A_LAYER]
        mapped = [to_teacher(states) for to_teacher, states in zip(student.maps, found, strict=True)]
    mine = _pool(mapped[-1], batch.student)
    cosine_loss = (1 - (mine * goal).sum(-1)).mean()
    similarity_loss = (mine @ mine.T - goal @ goal.T).square().mean()
    return _token_loss(batch, mapped, wanted) + _COSINE_WEIGHT * cosine_loss + _SIMILARITY_WEIGHT * similarity_loss


def _states(encoder: BertModel, sentences: Padded) -> tuple[torch.Tensor, ...]:
    """The embeddings' output and each layer's. *Shape of each:* (sentences, pieces, width)"""
    ids, mask = torch.from_numpy(sentences.ids), torch.from_numpy(sentences.mask)
    states: tuple[torch.Tensor, ...] = encoder(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    return states


def _pool(states: torch.Tensor, sentences: Padded) -> torch.Tensor:
    """Mean over each sentence's pieces, of length 1, in float32. *Shape:* (sentences, width)"""
    mask = torch.from_numpy(sentences.mask)[..., None]
    return nn.functional.normalize((states.float() * mask).sum(1) / mask.sum(1), dim=-1)


def _token_loss(batch: Batch, mapped: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> torch.Tensor:
    """Squared error of the tokens, relative to the teacher's own squares, summed over the layers."""
    rows = torch.from_numpy(batch.cut_alike)
    width = min(batch.teacher.ids.shape[1], batch.student.ids.shape[1])  # nothing but padding stands beyond it in these rows
    mask = torch.from_numpy(batch.student.mask)[rows, :width, None]
    total = torch.zeros(())
    if not len(rows):
        return total
    for layer, (mine, theirs) in enumerate(zip(mapped, wanted, strict=True)):
        goal = theirs[rows, :width].float()
        error = ((mine[rows, :width].float() - goal).square() * mask).sum() / mask.sum() / goal.shape[-1]
        total = total + (_LAST_LAYER_WEIGHT if layer == len(wanted) - 1 else _LAYER_WEIGHT) * error / goal.square().mean()
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
    """Weight decay is for matrices."""
    matrices = [parameter for parameter in student.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in student.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _has_bfloat16() -> bool:
    # Emulated bfloat16 is slower than float32. training/hardware.py asks the same, and stands above the quickstart.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} at optimizer step {step}. Nothing was saved; start again from the last folder with --resume."
        )
