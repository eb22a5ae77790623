"""Sentence models: an encoder with pooling and normalisation, assembled, saved, reloaded and compared."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import __version__ as transformers_version
from transformers.utils import logging as transformers_logging

from sbert_prune.errors import EncoderError, RoundTripError
from sbert_prune.models.architectures import architecture_of
from sbert_prune.models.checkpoint import layer_and_part, refuse_unused
from sbert_prune.models.tokenizer import replacement
from sbert_prune.recipe.recipe import DEFAULT_POOLING, FULL_PRECISION
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from sbert_prune.models.checkpoint import Checkpoint
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe, SavePrecision

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

_ADVICE: tuple[tuple[Any, str], ...] = (
    (ImportError, "Install the package that it needs."),
    ((OSError, SafetensorError), "Fetch it again from where it came from."),
    (StrictDataclassError, "Correct config.json, or restore it from where the model came from."),
)
_OTHER_ADVICE = (
    f"Its files do not fit each other, or not Transformers {transformers_version}. Save the model anew with it, or "
    "correct config.json or tokenizer_config.json."
)
"""What to do about an error of the libraries."""


PROBES = (
    "A plane is taking off.",
    "Two dogs run across a wide green field while a child watches them from the gate.",
    "The committee did not approve the budget.",
    "2024: 35 % more, 1,200 in all!",
    "एक माणूस बासरी वाजवत आहे.",
    "x",
)
"""Sentences that a model must embed the same after saving: short, long, negated, with digits, in another script."""


def load_saved(checkpoint: Checkpoint, *, max_seq_length: int | None = None) -> SentenceTransformer:
    """Load a saved encoder or sentence model in float32 on the CPU.

    Args:
        checkpoint: The files.
        max_seq_length: Longest input in pieces; None keeps the saved one. Never more than the encoder has positions.

    Raises:
        EncoderError: It cannot be loaded, or its weights are incomplete or do not fit the tokenizer.
    """
    try:
        with _quiet():  # Transformers reports a missing pooler, which is not used
            model = SentenceTransformer(str(checkpoint.folder), device="cpu", model_kwargs=_LOAD, local_files_only=True)
    except _LOAD_ERRORS as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, LookupError) or not reason:
            reason = f"{type(error).__name__} {reason}".strip()
        advice = next((advice for kinds, advice in _ADVICE if isinstance(error, kinds)), _OTHER_ADVICE)
        raise EncoderError(f"{checkpoint.folder} cannot be loaded: {reason}. {advice}") from error
    if (described := replacement(checkpoint.folder, model.tokenizer)) is not None:
        model[0].processor = described
    rows = model[0].auto_model.get_input_embeddings().num_embeddings
    if len(model.tokenizer) > rows:
        raise EncoderError(
            f"{checkpoint.folder}: the tokenizer has {len(model.tokenizer)} pieces, the weights have {rows}. "
            "They do not belong together; put the model's own tokenizer beside its weights."
        )
    _check_complete(model[0].auto_model, checkpoint)
    _set_length(model, checkpoint, max_seq_length)
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
    loaded, model_type = encoder.state_dict().keys(), str(encoder.config.model_type)
    in_layers = (name for name in saved - loaded if layer_and_part(architecture_of(model_type), name))
    refuse_unused(checkpoint.folder, model_type, (name for name in in_layers if not name.endswith("inv_freq")))


def _set_length(model: SentenceTransformer, checkpoint: Checkpoint, max_seq_length: int | None) -> None:
    """Set the longest input: beyond the positions that the encoder has, a sentence would end in an error."""
    length, limit = max_seq_length or model.max_seq_length, _num_positions(encoder_of(model))
    if limit is None or (length is not None and length <= limit):
        model.max_seq_length = length
        return
    model.max_seq_length = limit
    is_saved = max_seq_length is None and (checkpoint.folder / "modules.json").is_file()
    if is_saved:  # in a bare encoder's folder it is a guess of Sentence Transformers
        _report_length(checkpoint.folder, length, limit)


@cache
def _report_length(folder: Path, length: int | None, limit: int) -> None:
    """Log once for a model that its saved length is more than its encoder takes."""
    logging.getLogger(__name__).warning(
        "%s: its max_seq_length is %s, and its encoder has %d positions: longer sentences are cut at %d pieces.",
        *(folder, length, limit, limit),
    )


def _num_positions(encoder: PreTrainedModel) -> int | None:
    """Return the longest input in pieces that has a position each; None for relative and rotary positions."""
    table: torch.nn.Embedding | None = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if table is None:
        return None
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


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
        max_seq_length: Longest input in pieces; as many as the encoder has positions if it has fewer.
    """
    encoder, *modules = model
    limit = _num_positions(encoder_of(model))
    encoder.max_seq_length = max_seq_length if limit is None else min(max_seq_length, limit)
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


def round_weights(model: SentenceTransformer, precision: SavePrecision) -> None:
    """Round the weights of the encoder, in place, to what a number type can represent; they stay float32.

    Raises:
        RoundTripError: A weight is beyond the range of the number type.
    """
    for name, tensor in encoder_of(model).state_dict().items():
        if precision != FULL_PRECISION and tensor.is_floating_point():
            rounded = tensor.to(getattr(torch, precision))
            if not torch.isfinite(rounded).all():
                raise RoundTripError(
                    f"save_precision={precision}: {name} has values up to {float(tensor.abs().max()):.3g}, beyond the "
                    f"range of {precision}. Use save_precision=bfloat16 or float32."
                )
            tensor.copy_(rounded)


def _convert_weights(folder: Path, precision: SavePrecision) -> None:
    """Convert the encoder's files to another number type. Its config says float32, so that they are loaded as such."""
    for path in folder.glob("model*.safetensors"):
        tensors = {
            name: tensor.to(getattr(torch, precision)) if tensor.is_floating_point() else tensor
            for name, tensor in load_file(path).items()
        }
        converted = path.with_suffix(".converted")  # the tensors that were read may be views of the file
        save_file(tensors, converted, metadata={"format": "pt"})
        converted.replace(path)


def save_sentence_model(model: SentenceTransformer, folder: Path, lineage: Lineage) -> None:
    """Write a sentence model and its lineage; after an error, the folder does not exist.

    Raises:
        EncoderError: The folder is not empty, or the disk is full.
    """
    with whole_folder(folder) as partial:
        try:
            with _quiet():
                model.save(str(partial), create_model_card=False)
            if lineage.save_precision != FULL_PRECISION:
                _convert_weights(partial, lineage.save_precision)
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


_CHARACTERS_AT_ONCE, _LEAST_AT_ONCE = 32_768, 32
"""Characters, and least sentences, in one forward pass: a small encoder on a CPU is slow with few at once."""


def embed(model: SentenceTransformer, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Embed sentences, the longest first, as many at once as fit. *Shape:* (sentences, dim), in their order."""
    order = np.argsort([-len(sentence) for sentence in sentences], kind="stable")
    parts, start = [], 0
    while start < len(order):
        size = max(_LEAST_AT_ONCE, _CHARACTERS_AT_ONCE // max(1, len(sentences[order[start]])))
        batch = [sentences[place] for place in order[start : start + size]]
        parts.append(model.encode(batch, batch_size=size, convert_to_numpy=True, show_progress_bar=False))
        start += size
    return cast("NDArray[np.float32]", np.concatenate(parts)[np.argsort(order)])


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
