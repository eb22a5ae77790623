"""Remove layers from an encoder, in memory or on disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.models.architectures import (
    architecture_of,
    check_selection,
    layers_of,
    move_shared_parts,
    pruned_config,
    set_layers,
)
from sbert_prune.models.checkpoint import Checkpoint, inspect_checkpoint, layer_and_part
from sbert_prune.models.modules import copy_sidecar_files
from sbert_prune.models.pickles import convert_pickles, holds_pickles
from sbert_prune.models.safetensors_file import StoredTensor, write_tensors
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.strategies import EXPLICIT
from sbert_prune.system.folders import whole_folder
from sbert_prune.system.reading import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.lineage import Lineage


_FROM_THE_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""The names of the class of Transformers that loads a tokenizer.json as it is."""


def prune_layers(
    encoder: PreTrainedModel, selection: LayerSelection, *, share_weights: bool = False
) -> PreTrainedModel:
    """Return a copy of the encoder with only the kept layers; the encoder itself does not change.

    With layers 0..k-1 kept, the output equals `hidden_states[k]` of the full encoder. Dropped layers are never copied.

    Args:
        encoder: The encoder.
        selection: The layers to keep.
        share_weights: Whether the copy shares its weights with the encoder instead of copying them.

    Raises:
        SelectionError: The selection is for another depth, or drops a layer that must be kept.
    """
    from torch import nn

    layers = layers_of(encoder)
    if selection.depth != len(layers):
        raise SelectionError(
            f"The selection {selection} was made for {selection.depth} layers; this encoder has {len(layers)}."
        )
    model_type = str(encoder.config.model_type)
    check_selection(model_type, selection)
    tensors = (*encoder.parameters(), *encoder.buffers()) if share_weights else ()
    memo: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
    kept = nn.ModuleList([deepcopy(layers[index], memo) for index in selection.kept])
    kept.training = layers.training
    if 0 in selection.dropped:
        move_shared_parts(model_type, layers[0], kept[0])
    memo[id(layers)] = kept  # so deepcopy does not copy the list with the dropped layers
    pruned = deepcopy(encoder, memo)
    set_layers(pruned, kept, selection)
    return pruned


def prune_checkpoint(
    folder: Path, selection: LayerSelection, out: Path, *, lineage: Lineage | None = None, convert_pickle: bool = False
) -> Checkpoint:
    """Prune a saved encoder or sentence model on disk: no model is built, only the kept tensors are copied.

    Weights (one file or shards) are written as one file, the same bytes as `prune_layers` and `save_pretrained` would
    write in the same dtype. The config is updated, tokenizer and modules are copied, weights in other formats are left
    out, and `pruning.json` is written. After an error, the output folder does not exist.

    Args:
        folder: The saved model.
        selection: The layers to keep.
        out: A new or empty folder.
        lineage: Lineage of the saved model if more is known than its folder records, such as a hub's id and commit.
        convert_pickle: Whether to accept pickled weights; they are converted in a temporary folder first.

    Returns:
        The pruned checkpoint.

    Raises:
        SelectionError: The selection does not fit the encoder.
        EncoderError: The folder is damaged, the output folder is not empty, or the disk is full.
    """
    folder, out = Path(folder), Path(out).absolute()
    if convert_pickle and holds_pickles(folder):
        with TemporaryDirectory() as scratch:
            converted = Path(scratch) / "converted"
            convert_pickles(folder, converted)
            lineage = lineage or lineage_of(SavedModel(str(folder.resolve()), None, inspect_checkpoint(converted)))
            return prune_checkpoint(converted, selection, out, lineage=lineage)
    source = inspect_checkpoint(folder)
    if selection.depth != source.depth:
        raise SelectionError(
            f"The selection {selection} was made for {selection.depth} layers; "
            f"the encoder in {folder} has {source.depth}."
        )
    check_selection(str(source.config["model_type"]), selection)
    if out.resolve().is_relative_to(folder.resolve()):
        raise EncoderError(f"{out} lies inside {folder}, which is to be pruned. Give a folder outside of it.")
    tokenizer = _tokenizer_to_save(folder)
    tensors = _renumbered(source, selection)
    num_bytes = sum(tensor.num_bytes for tensor in tensors.values())
    with ThreadPoolExecutor(1) as executor, whole_folder(out, num_bytes=num_bytes) as partial:
        source_lineage = executor.submit(lambda: lineage or lineage_of(SavedModel(str(folder.resolve()), None, source)))
        write_tensors(partial / "model.safetensors", tensors)
        config = pruned_config(source.config, selection)
        config_text = json.dumps(_headless(config), indent=2, ensure_ascii=False) + "\n"
        (partial / "config.json").write_text(config_text, encoding="utf-8")
        copy_sidecar_files(folder, partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
        source_lineage.result().after_cut(selection, strategy=EXPLICIT).write(partial)
    return inspect_checkpoint(out)


def _tokenizer_to_save(folder: Path) -> PreTrainedTokenizerFast | None:
    """Return the tokenizer to save in place of one that Transformers rebuilds otherwise; None if its files can stay."""
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and read_json(settings).get("tokenizer_class") in _FROM_THE_FILE:
        return None  # Transformers loads tokenizer.json as it is, and importing it takes longer than pruning
    from sbert_prune.models.tokenizer import rewritten_tokenizer

    return rewritten_tokenizer(folder)


def _renumbered(source: Checkpoint, selection: LayerSelection) -> dict[str, StoredTensor]:
    """Return the kept tensors under their new names."""
    architecture = architecture_of(str(source.config["model_type"]))
    new_index = {old: new for new, old in enumerate(selection.kept)}
    renamed: dict[str, StoredTensor] = {}
    for name, tensor in source.tensors.items():
        layer_part = layer_and_part(architecture, name)
        if layer_part is None:
            renamed[name] = tensor
            continue
        index, part = layer_part
        if part.startswith(architecture.first_has):
            renamed[name] = tensor  # a part of layer 0 that the new first layer gets
        elif index in new_index:
            renamed[f"{architecture.layers}.{new_index[index]}.{part}"] = tensor
    return renamed


def _headless(config: dict[str, Any]) -> dict[str, Any]:
    """Remove classes with a head from `architectures`: the head is not saved."""
    classes = config.get("architectures")
    bare = [name for name in classes if str(name).endswith("Model")] if isinstance(classes, list) else []
    other = {key: value for key, value in config.items() if key != "architectures"}
    return other | {"architectures": bare} if bare else other
