"""Check the base of a recipe, and its teacher: that they exist and are complete, their depth and their size."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.doctor.findings import Finding, finding_from_error, in_bytes
from pipelines.doctor.hub import HubName, model_on_hub
from sbert_prune.errors import EncoderError, HubError, SbertPruneError, SelectionError
from sbert_prune.models.architectures import check_selection
from sbert_prune.models.checkpoint import Checkpoint, inspect_checkpoint
from sbert_prune.models.pickles import holds_pickles
from sbert_prune.models.sources import fetch_model, locate_base
from sbert_prune.strategies import choose_layers
from sbert_prune.system.command_line import command_line

if TYPE_CHECKING:
    from sbert_prune.hub.snapshot import Snapshot
    from sbert_prune.recipe.recipe import Recipe

_SCHEMES = ("models:/", "runs:/")


def check_model(check: str, name: str, recipe: Recipe) -> Finding:
    """Check a model.

    Args:
        check: The parameter that names it, base_model or distil_teacher.
        name: A folder, a name of the package, a hub id, or a runs:/ or models:/ URI.
        recipe: Its setting convert_pickle counts.
    """
    if name.startswith(_SCHEMES):
        return Finding(check, "-", f"{name}: read from the tracking store by the first command that needs it")
    hub = model_on_hub(name)
    if hub is not None:
        return _check_hub(check, hub, recipe)
    try:
        return _local(check, name, recipe)
    except EncoderError as error:
        command = str(error).partition(" Run: ")[2] or command_line("doctor", **{check: "FOLDER"})
        if holds_pickles_alone(Path(name)):
            command = command_line("doctor", **{check: name}, convert_pickle="true")
        return finding_from_error(check, error, command)


def num_parameters(recipe: Recipe) -> int | None:
    """Return the number of parameters of the base, without a network: from its weights, else from `downloads`."""
    name = recipe.base_model
    hub = None if name.startswith(_SCHEMES) else model_on_hub(name)
    try:
        if hub is not None:
            snapshot = hub.in_cache()
            checkpoint = _cached(snapshot, recipe) if snapshot else None
        else:
            pickled = name.startswith(_SCHEMES) or holds_pickles_alone(Path(name))
            checkpoint = None if pickled else locate_base(name).checkpoint
    except SbertPruneError:
        checkpoint = None
    if checkpoint is not None:
        return sum(prod(tensor.shape) for tensor in checkpoint.tensors.values())
    megabytes = recipe.downloads.get("base_model", 0.0)
    return int(megabytes * 1e6 / 4) or None


def holds_pickles_alone(folder: Path) -> bool:
    """Return whether the weights of a folder must be converted first; False for a damaged folder, which fails later."""
    try:
        return folder.is_dir() and holds_pickles(folder)
    except SbertPruneError:
        return False


def _local(check: str, name: str, recipe: Recipe) -> Finding:
    folder = Path(name)
    if recipe.convert_pickle and holds_pickles_alone(folder):
        size = sum(path.stat().st_size for path in folder.rglob("*.bin"))
        return Finding(check, "ok", f"{folder}: pickled weights of {in_bytes(size)}, which commands convert each time")
    return Finding(check, "ok", f"{name}: {_describe(locate_base(name).checkpoint)}")


def _describe(checkpoint: Checkpoint) -> str:
    parameters = sum(prod(tensor.shape) for tensor in checkpoint.tensors.values())
    kind = checkpoint.config["model_type"]
    return (
        f"{kind}, {checkpoint.depth} layers, {parameters / 1e6:,.1f} M parameters, {in_bytes(checkpoint.num_bytes())}"
    )


def _check_hub(check: str, hub: HubName, recipe: Recipe) -> Finding:
    cached = hub.in_cache()
    try:
        checkpoint = _cached(cached, recipe) if cached else None
    except SbertPruneError:
        checkpoint = None  # the hub may have the missing files
    where = f"in the cache as of commit {cached.commit[:8]}" if cached else ""
    if checkpoint:
        return Finding(check, "ok", f"{hub.repo_id}: {_describe(checkpoint)}, {where}")
    if cached and recipe.convert_pickle and any(file.path.endswith(".bin") for file in cached.files):
        return Finding(check, "ok", f"{hub.repo_id}: pickled weights {where}, converted each time")
    try:
        return _listed(check, hub, hub.on_hub(), recipe)
    except HubError as error:
        return finding_from_error(check, error, hub.command)


def _cached(snapshot: Snapshot, recipe: Recipe) -> Checkpoint | None:
    """Return the checkpoint in the cache; None for a pickled one.

    Raises:
        HubError: Files are missing.
        EncoderError: Files are missing or damaged.
    """
    folder = fetch_model(snapshot, convert_pickle=recipe.convert_pickle)
    return None if holds_pickles(folder) else inspect_checkpoint(folder)


def _listed(check: str, hub: HubName, snapshot: Snapshot, recipe: Recipe) -> Finding:
    """Return the finding for a model that the hub lists and the cache lacks."""
    sizes = {file.path: file.size for file in snapshot.files if "/" not in file.path}
    weights = [name for name in sizes if name.endswith(".safetensors")]
    pickles = [name for name in sizes if name.endswith(".bin")]
    at = f"{hub.repo_id} at commit {snapshot.commit[:8]}"
    if not weights and not (recipe.convert_pickle and pickles):
        if pickles:
            advice = "Convert its weights, if you trust them: only tensors are read."
            command = command_line("doctor", **{check: hub.repo_id}, convert_pickle="true")
            return Finding(check, "fail", f"{at} has pickled weights only", advice, command)
        advice = "It has no weights in a supported format: use another model."
        command = command_line("doctor", **{check: "ORG/NAME"})
        return Finding(check, "fail", f"{at} has no model.safetensors", advice, command)
    size = sum(sizes[name] for name in weights or pickles)
    return Finding(check, "ok", f"{at}: on the hub, {in_bytes(size)} are fetched by the first command")


def check_layers(recipe: Recipe) -> Finding:
    """Check the layers against the depth of the base; where the base is not downloaded yet, check only the strategy."""
    command = command_line("recipes", name=recipe.name)
    cuts = tuple(map(str, recipe.schedule)) if recipe.schedule else (recipe.layers.strip(),)
    request = f"{', then '.join(cuts)} ({recipe.strategy})"
    try:
        choose_layers("1", strategy=recipe.strategy, depth=1)
        if recipe.base_model.startswith(_SCHEMES) or model_on_hub(recipe.base_model) is not None:
            return Finding("layers", "-", f"{request}: checked once the base is downloaded")
        base = locate_base(recipe.base_model, convert_pickle=recipe.convert_pickle).checkpoint
        depth = base.depth
        for layers in cuts:
            chosen = choose_layers(layers, strategy=recipe.strategy, depth=depth)
            if chosen is not None:
                check_selection(str(base.config["model_type"]), chosen)
            depth = int(layers) if layers.isdecimal() else depth
    except SelectionError as error:
        return finding_from_error("layers", error, command)
    except EncoderError:
        return Finding("layers", "-", f"{request}: not checked, see base_model")
    return Finding("layers", "ok", f"{request} of {base.depth}")
