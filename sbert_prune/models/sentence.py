"""Sentence models: an encoder with pooling and normalisation, assembled, saved, reloaded and compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers.utils import logging as transformers_logging

from sbert_prune.errors import EncoderError, RoundTripError
from sbert_prune.models.tokenizer import replacement
from sbert_prune.recipe.recipe import DEFAULT_POOLING
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from sbert_prune.models.checkpoint import Checkpoint
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe

# float32 whatever the checkpoint's type: Transformers 5 would keep float16, in which training fails.
_LOAD: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}

_LOAD_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What the libraries raise for a folder whose files do not fit each other."""

_MIN_FOR_PROGRESS_BAR = 1000  # sentences

PROBES = (
    "A plane is taking off.",
    "Two dogs run across a wide green field while a child watches them from the gate.",
    "The committee did not approve the budget.",
    "2024: 35 % more, 1,200 in all!",
    "एक माणूस बासरी वाजवत आहे.",
    "x",
)
"""Sentences that a model must embed the same after saving: short, long, negated, with digits, in another script."""


def load_saved(checkpoint: Checkpoint) -> SentenceTransformer:
    """Load a saved encoder or sentence model in float32 on the CPU.

    Raises:
        EncoderError: It cannot be loaded, or its weights are incomplete or do not fit the tokenizer.
    """
    try:
        with _quiet():  # Transformers reports a missing pooler, which is not used
            model = SentenceTransformer(str(checkpoint.folder), device="cpu", model_kwargs=_LOAD, local_files_only=True)
    except _LOAD_ERRORS as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"{checkpoint.folder} cannot be loaded: {reason.rstrip('.')}. Fetch it again from where it came from."
        ) from error
    if (described := replacement(checkpoint.folder, model.tokenizer)) is not None:
        model[0].processor = described
    rows = model[0].auto_model.get_input_embeddings().num_embeddings
    if len(model.tokenizer) > rows:
        raise EncoderError(
            f"{checkpoint.folder}: the tokenizer has {len(model.tokenizer)} pieces, the weights have {rows}. "
            "They do not belong together; put the model's own tokenizer beside its weights."
        )
    _check_complete(model[0].auto_model, checkpoint)
    _zero_missing_pooler(model[0].auto_model, checkpoint.tensors)
    _ensure_padding(model, checkpoint)
    return model.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off the progress bars and warnings of Transformers; errors are raised anyway."""
    verbosity, had_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers leaves them untyped
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _check_complete(encoder: PreTrainedModel, checkpoint: Checkpoint) -> None:
    """Check that no parameter is missing: Transformers initializes missing ones at random and only logs it."""
    # Old BERTs use the names gamma and beta.
    saved = {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in checkpoint.tensors}
    # T5 may save its embeddings under the encoder's own name.
    expected = {name for name, _ in encoder.named_parameters()} - {"shared.weight"}
    if missing := sorted(name for name in expected - saved if not name.startswith("pooler.")):
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise EncoderError(
            f"{checkpoint.folder}: the weights lack {names}, which a "
            f"{type(encoder).__name__} has. Loaded like this, they would be random. Fetch the folder again."
        )


def _ensure_padding(model: SentenceTransformer, checkpoint: Checkpoint) -> None:
    """Use the end piece for padding where there is no padding piece, as in Llama: the mask hides it."""
    if model.tokenizer.pad_token is not None:
        return
    if model.tokenizer.eos_token is None:
        raise EncoderError(
            f"{checkpoint.folder}: the tokenizer has neither a padding nor an end piece, so sentences of different "
            'length cannot be embedded together. Name one as "pad_token" in tokenizer_config.json.'
        )
    model.tokenizer.pad_token = model.tokenizer.eos_token


def with_pooling(model: SentenceTransformer, pooling: str | None, *, max_seq_length: int) -> SentenceTransformer:
    """Return a model of the same encoder with the given pooling and normalisation.

    Further modules of the model, such as a Dense layer, and its prompts are kept.

    Args:
        model: The model. It shares its modules with the result.
        pooling: "mean" or "cls"; None keeps the model's own pooling, or uses the default for a bare encoder.
        max_seq_length: Longest input in pieces.
    """
    encoder, *modules = model
    encoder.max_seq_length = max_seq_length
    if not any(isinstance(module, Pooling) for module in modules):
        modules.insert(0, Pooling(encoder.get_embedding_dimension(), pooling or DEFAULT_POOLING))
    elif pooling is not None:
        modules = [
            Pooling(module.embedding_dimension, pooling, include_prompt=module.include_prompt)
            if isinstance(module, Pooling)
            else module
            for module in modules
        ]
    if not isinstance(modules[-1], Normalize):
        modules.append(Normalize())
    return SentenceTransformer(
        modules=[encoder, *modules],
        device="cpu",
        prompts=model.prompts,
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    ).eval()


def as_sentence_model(source: SavedModel, recipe: Recipe) -> SentenceTransformer:
    """Load a model: a sentence model keeps its saved pooling and length, a bare encoder takes the recipe's."""
    model = load_saved(source.checkpoint)
    if source.is_sentence_model:
        return model
    return with_pooling(model, recipe.pooling, max_seq_length=recipe.max_seq_length)


def _zero_missing_pooler(encoder: PreTrainedModel, tensors: Iterable[str]) -> None:
    """Zero a pooler that has no saved weights: it is unused, and random values would make each save differ."""
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None and not any("pooler." in name for name in tensors):
        for parameter in pooler.parameters():
            torch.nn.init.zeros_(parameter)


def encoder_of(model: SentenceTransformer) -> PreTrainedModel:
    """Return the Transformers encoder inside a sentence model."""
    return cast("PreTrainedModel", model[0].auto_model)


def with_encoder(model: SentenceTransformer, encoder: PreTrainedModel) -> SentenceTransformer:
    """Put another encoder of the same width into a sentence model, in place, and return it."""
    model[0].model = encoder
    return model


def save_sentence_model(model: SentenceTransformer, folder: Path, lineage: Lineage) -> None:
    """Write a sentence model and its lineage; after an error, the folder does not exist.

    Raises:
        EncoderError: The folder is not empty, or the disk is full.
    """
    with whole_folder(folder) as partial:
        try:
            with _quiet():
                model.save(str(partial), create_model_card=False)
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error
        lineage.write(partial)


def preprocess(model: SentenceTransformer, sentences: Sequence[str], device: torch.device) -> dict[str, Any]:
    """Return the input of a forward pass, with the model's default prompt as in encode(), on a device."""
    features = model.preprocess(list(sentences), prompt=model.prompts.get(model.default_prompt_name))
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in features.items()}


def pool(model: SentenceTransformer, features: dict[str, Any]) -> torch.Tensor:
    """Apply the modules after the encoder, pooling and further ones. *Shape:* (sentences, dim)"""
    for module in list(model)[1:]:
        features = module(features)
    return cast("torch.Tensor", features["sentence_embedding"])


def embed(model: SentenceTransformer, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Embed sentences, with a progress bar for many on a terminal. *Shape:* (sentences, dim), in their order."""
    show_progress = len(sentences) >= _MIN_FOR_PROGRESS_BAR and sys.stderr.isatty()
    vectors = model.encode(list(sentences), batch_size=64, convert_to_numpy=True, show_progress_bar=show_progress)
    return cast("NDArray[np.float32]", vectors)


_TRAIN_AGAIN = "Train again with a lower learning rate, or with precision=float32."


def check_embeddings(vectors: NDArray[np.float32], what: str, *, advice: str = _TRAIN_AGAIN) -> None:
    """Check that embeddings are finite and not all the same.

    Args:
        vectors: The embeddings. *Shape:* (sentences, dim)
        what: What made them, for the message.
        advice: What to do, for the message.

    Raises:
        RoundTripError: They are not finite, or all the same.
    """
    if not np.isfinite(vectors).all():
        raise RoundTripError(f"{what} gives embeddings that are not finite. {advice}")
    if len(vectors) > 1 and float(np.ptp(vectors, axis=0).max()) < 1e-4:
        raise RoundTripError(f"{what} gives the same embedding for every sentence: it has collapsed. {advice}")
