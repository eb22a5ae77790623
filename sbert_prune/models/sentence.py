"""Sentence models: an encoder with pooling and normalisation, assembled, saved, reloaded and compared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_prune.errors import EncoderError, RoundTripError
from sbert_prune.recipe.recipe import DEFAULT_POOLING
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from sbert_prune.models.checkpoint import Checkpoint
    from sbert_prune.models.lineage import Lineage

# Weights are float32 whatever the checkpoint's own type is: Transformers 5 would keep float16, which does not train.
_LOAD: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}

_LOAD_FAULTS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What the libraries raise on a folder whose parts do not fit each other."""

_LONG = 1000

PROBES = (
    "A plane is taking off.",
    "Two dogs run across a wide green field while a child watches them from the gate.",
    "The committee did not approve the budget.",
    "2024: 35 % more, 1,200 in all!",
    "एक माणूस बासरी वाजवत आहे.",
    "x",
)
"""Sentences that a saved model must embed as it did before: short, long, negated, with digits, in another script."""


def load_saved(checkpoint: Checkpoint) -> SentenceTransformer:
    """Load an encoder or a sentence model as it was saved, in float32 on the CPU."""
    try:
        saved = SentenceTransformer(str(checkpoint.folder), device="cpu", model_kwargs=_LOAD, local_files_only=True)
    except _LOAD_FAULTS as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"{checkpoint.folder} cannot be loaded: {reason.rstrip('.')}. Fetch it again from where it came from."
        ) from error
    rows = saved[0].auto_model.get_input_embeddings().num_embeddings
    if len(saved.tokenizer) > rows:
        raise EncoderError(
            f"{checkpoint.folder}: the tokenizer knows {len(saved.tokenizer)} pieces, the weights have {rows}. They do not belong "
            "together; put the model's own tokenizer beside its weights."
        )
    _check_complete(saved[0].auto_model, checkpoint)
    _zero_missing_pooler(saved[0].auto_model, checkpoint.tensors)
    _ensure_padding(saved, checkpoint)
    return saved.eval()


def _pooled(old: Pooling, pooling: str) -> Pooling:
    return Pooling(old.embedding_dimension, pooling, include_prompt=old.include_prompt)


def _check_complete(encoder: PreTrainedModel, checkpoint: Checkpoint) -> None:
    """Transformers fills what the weights lack with random numbers, and says so in passing only."""
    held = {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in checkpoint.tensors}  # names of old BERTs
    wanted = {name for name, _ in encoder.named_parameters()} - {"shared.weight"}  # T5's may stand under the encoder's own name
    if lacking := sorted(name for name in wanted - held if not name.startswith("pooler.")):
        raise EncoderError(
            f"{checkpoint.folder}: the weights lack {', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}, which a "
            f"{type(encoder).__name__} has. Loaded like this, they would be random. Fetch the folder again."
        )


def _ensure_padding(saved: SentenceTransformer, checkpoint: Checkpoint) -> None:
    """Decoders such as Llama come without a padding piece; the mask hides what stands there, so the end piece serves."""
    if saved.tokenizer.pad_token is not None:
        return
    if saved.tokenizer.eos_token is None:
        raise EncoderError(
            f"{checkpoint.folder}: the tokenizer has neither a padding nor an end piece, so sentences of different length cannot be "
            'embedded together. Name one as "pad_token" in tokenizer_config.json.'
        )
    saved.tokenizer.pad_token = saved.tokenizer.eos_token


def with_pooling(model: SentenceTransformer, pooling: str | None, *, max_seq_length: int) -> SentenceTransformer:
    """The same encoder with "mean" or "cls" pooling and a normalisation behind it; None keeps the pooling that it has.

    A model's further modules (a Dense layer, say) stay where they are, and so do its prompts.
    """
    encoder, *behind = model
    encoder.max_seq_length = max_seq_length
    if not any(isinstance(module, Pooling) for module in behind):
        behind.insert(0, Pooling(encoder.get_embedding_dimension(), pooling or DEFAULT_POOLING))
    elif pooling is not None:
        behind = [_pooled(module, pooling) if isinstance(module, Pooling) else module for module in behind]
    if not isinstance(behind[-1], Normalize):
        behind.append(Normalize())
    return SentenceTransformer(
        modules=[encoder, *behind],
        device="cpu",
        prompts=model.prompts,
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    ).eval()


def _zero_missing_pooler(encoder: PreTrainedModel, tensors: Iterable[str]) -> None:
    """A BERT without pooler weights gets random ones, unused: zeros keep every save of the same model the same bytes."""
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None and not any("pooler." in name for name in tensors):
        for parameter in pooler.parameters():
            torch.nn.init.zeros_(parameter)


def encoder_of(model: SentenceTransformer) -> PreTrainedModel:
    """The Transformers encoder inside a sentence model."""
    return cast("PreTrainedModel", model[0].auto_model)


def with_encoder(model: SentenceTransformer, encoder: PreTrainedModel) -> SentenceTransformer:
    """Put another encoder of the same width into a sentence model, in place, and return it."""
    model[0].model = encoder
    return model


def save_sentence_model(model: SentenceTransformer, folder: Path, lineage: Lineage) -> None:
    """Write a sentence model and its lineage; the folder appears whole or not at all.

    Raises EncoderError when the folder exists and holds something, or has no room.
    """
    with whole_folder(folder) as beside:
        try:
            model.save(str(beside), create_model_card=False)
        except SafetensorError as error:  # a full disk, told by a library that knows no OSError
            raise OSError(str(error)) from error
        lineage.write(beside)


def embed(model: SentenceTransformer, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Embed sentences, with a progress bar where it takes long and somebody watches. *Shape:* (sentences, dim), in the order given."""
    watched = len(sentences) >= _LONG and sys.stderr.isatty()
    vectors = model.encode(list(sentences), batch_size=64, convert_to_numpy=True, show_progress_bar=watched)
    return cast("NDArray[np.float32]", vectors)


_TRAIN_AGAIN = "Train again with a lower learning rate, or with precision=float32."


def check_embeddings(vectors: NDArray[np.float32], what: str, *, advice: str = _TRAIN_AGAIN) -> None:
    """Refuse embeddings that no use can be made of. Raises RoundTripError for non-finite or collapsed ones."""
    if not np.isfinite(vectors).all():
        raise RoundTripError(f"{what} gives embeddings that are not finite. {advice}")
    if len(vectors) > 1 and float(np.ptp(vectors, axis=0).max()) < 1e-4:
        raise RoundTripError(f"{what} gives the same embedding for every sentence: it has collapsed. {advice}")
