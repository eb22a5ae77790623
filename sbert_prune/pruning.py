"""Cutting layers out of an encoder: in memory, and as it lies on disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.models.architectures import architecture_of, check_selection, config_after, hand_on_first, layers_of, set_layers
from sbert_prune.models.checkpoint import Checkpoint, inspect_checkpoint, layer_and_part
from sbert_prune.models.modules import copy_sidecar_files
from sbert_prune.models.pickles import convert_pickles, holds_pickles
from sbert_prune.models.safetensors_file import StoredTensor, write_tensors
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.strategies import EXPLICIT
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.lineage import Lineage


def prune_layers(encoder: PreTrainedModel, selection: LayerSelection, *, share_weights: bool = False) -> PreTrainedModel:
    """Return a copy of the encoder that has only the kept layers; the encoder itself stays as it was.

    share_weights: the copy's weights are the encoder's own, and change with them.

    Keeping 0..k-1 makes its output equal `hidden_states[k]` of the full encoder. Dropped layers are never copied.
    Raises SelectionError when the selection was made for another depth, or leaves out a layer that has to stay.
    """
    from torch import nn

    layers = layers_of(encoder)
    if selection.depth != len(layers):
        raise SelectionError(f"The selection {selection} was made for {selection.depth} layers; this encoder has {len(layers)}.")
    model_type = str(encoder.config.model_type)
    check_selection(model_type, selection)
    tensors = (*encoder.parameters(), *encoder.buffers()) if share_weights else ()
    memo: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
    kept = nn.ModuleList([deepcopy(layers[index], memo) for index in selection.kept])
    kept.training = layers.training
    if 0 in selection.dropped:
        hand_on_first(model_type, layers[0], kept[0])
    memo[id(layers)] = kept  # deepcopy finds the whole list here and so leaves the dropped layers alone
    pruned = deepcopy(encoder, memo)
    set_layers(pruned, kept, selection)
    return pruned


def prune_checkpoint(
    folder: Path, selection: LayerSelection, out: Path, *, lineage: Lineage | None = None, convert_pickle: bool = False
) -> Checkpoint:
    """Cut a saved encoder or sentence model as it lies on disk: no model is built, only the kept tensors are copied.

    Weights (single or sharded) come out as one file, byte by byte what `prune_layers` and `save_pretrained` would write in the same
    dtype; the config follows, tokenizer and modules come along, weights in other formats stay behind, `pruning.json` is written.
    lineage: of what is cut, where more is known than the folder itself says (a hub's id and commit, say).
    convert_pickle: take weights that are pickled as well, for their tensors alone; they are converted in a temporary folder first.

    Raises SelectionError for a selection that does not fit, EncoderError for a folder that is damaged, an output folder that is not
    empty, and a disk without room; nothing is left of the output then.
    """
    folder, out = Path(folder), Path(out).absolute()
    if convert_pickle and holds_pickles(folder):
        with TemporaryDirectory() as scratch:
            converted = Path(scratch) / "converted"
            convert_pickles(folder, converted)
            known = lineage or lineage_of(SavedModel(str(folder.resolve()), None, inspect_checkpoint(converted)))
            return prune_checkpoint(converted, selection, out, lineage=known)
    source = inspect_checkpoint(folder)
    if selection.depth != source.depth:
        raise SelectionError(
            f"The selection {selection} was made for {selection.depth} layers; the encoder in {folder} has {source.depth}."
        )
    check_selection(str(source.config["model_type"]), selection)
    if out.resolve().is_relative_to(folder.resolve()):
        raise EncoderError(f"{out} lies inside {folder}, which is to be cut. Name a folder outside of it.")
    tensors = _renumbered(source, selection)
    num_bytes = sum(tensor.num_bytes for tensor in tensors.values())
    with ThreadPoolExecutor(1) as beside_copying, whole_folder(out, num_bytes=num_bytes) as beside:
        origin = beside_copying.submit(lambda: lineage or lineage_of(SavedModel(str(folder.resolve()), None, source)))
        write_tensors(beside / "model.safetensors", tensors)
        config = config_after(source.config, selection)
        (beside / "config.json").write_text(json.dumps(_headless(config), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        copy_sidecar_files(folder, beside)
        origin.result().after_cut(selection, strategy=EXPLICIT).write(beside)
    return inspect_checkpoint(out)


def _renumbered(source: Checkpoint, selection: LayerSelection) -> dict[str, StoredTensor]:
    """The kept tensors under their new names."""
    architecture = architecture_of(str(source.config["model_type"]))
    places = {index: place for place, index in enumerate(selection.kept)}
    renamed: dict[str, StoredTensor] = {}
    for name, tensor in source.tensors.items():
        inside = layer_and_part(architecture, name)
        if inside is None:
            renamed[name] = tensor
        elif inside[1].startswith(architecture.first_has):
            renamed[name] = tensor  # layer 0's, for whichever comes first
        elif inside[0] in places:
            renamed[f"{architecture.layers}.{places[inside[0]]}.{inside[1]}"] = tensor
    return renamed


def _headless(config: dict[str, Any]) -> dict[str, Any]:
    """Without the name of a class whose head stays behind."""
    named = config.get("architectures")
    bare = [name for name in named if str(name).endswith("Model")] if isinstance(named, list) else []
    return {key: value for key, value in config.items() if key != "architectures"} | ({"architectures": bare} if bare else {})
