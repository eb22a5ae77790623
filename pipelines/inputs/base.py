"""Locate and check the models that a command works on, before anything heavy is imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo
from sbert_prune.data.texts import load_texts
from sbert_prune.errors import EncoderError, HubError, RecipeError, SbertPruneError
from sbert_prune.inputs.texts import TrainingTexts
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import check_selection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sources import locate_base
from sbert_prune.recipe.recipe import FULL_PRECISION
from sbert_prune.recipe.settings import REFERENCE_TEACHER
from sbert_prune.strategies import EXPLICIT, choose_layers
from sbert_prune.tracking.store_uri import check_store
from sbert_prune.vocabulary.choose import must_stay
from sbert_prune.vocabulary.tokenizer_json import named_ids, read_pieces

if TYPE_CHECKING:
    from sbert_prune.recipe.recipe import Recipe

_SCHEMES = ("models:/", "runs:/")


@dataclass(frozen=True)
class PruneInputs:
    """A base and how to prune it.

    Args:
        base: The model to prune.
        cuts: The layers to keep after each cut: counts for the strategy, or one list.
        strategy: Name of the strategy, or "explicit".
        texts: Texts for a measured strategy or for trimming; None where neither needs them.
    """

    base: SavedModel
    cuts: tuple[str, ...]
    strategy: str
    texts: TrainingTexts | None = None

    @property
    def num_layers(self) -> int:
        """The number of layers after the last cut."""
        last, depth = self.cuts[-1], self.base.checkpoint.depth
        return int(last) if last.isdecimal() else LayerSelection.parse(last, depth=depth).num_layers

    @property
    def selection(self) -> LayerSelection | None:
        """The layers that a single cut keeps; None for a measured strategy and for a schedule."""
        depth = self.base.checkpoint.depth
        if len(self.cuts) > 1:
            return None
        if self.strategy == EXPLICIT:
            return LayerSelection.parse(self.cuts[0], depth=depth)
        return choose_layers(self.cuts[0], strategy=self.strategy, depth=depth)

    @property
    def described(self) -> str:
        """The layers that are kept; count and strategy where they are not known before the layers are measured."""
        return str(self.selection or f"{self.num_layers} {self.strategy}")

    @property
    def drops_layers(self) -> bool:
        """Whether any layer is dropped."""
        return self.num_layers < self.base.checkpoint.depth


def check_machine(recipe: Recipe) -> None:
    """Refuse what this machine cannot do: a tracking store that is not there, CUDA with a CPU build of torch."""
    check_store()
    if recipe.device.startswith("cuda") and version("torch").endswith("+cpu"):
        raise RecipeError(
            f"device={recipe.device}: the torch that is installed here ({version('torch')}) has no CUDA. "
            "Use device=auto or device=cpu."
        )


def find_model(uri: str, *, convert_pickle: bool = False) -> SavedModel:
    """Locate a base or a sentence model by a folder, a name of the package, a hub id, or a runs:/ or models:/ URI."""
    if not uri.startswith(_SCHEMES):
        return locate_base(uri, convert_pickle=convert_pickle)
    check_store(must_exist=True)
    from sbert_prune.tracking.logged_models import fetch_model, logged_model_uri
    from sbert_prune.tracking.reach import check_artifacts
    from sbert_prune.tracking.store import connect

    store = connect(writes=False)
    check_artifacts(store.client, store.uri, store.experiment_id)
    resolved = logged_model_uri(store, uri)
    return SavedModel(resolved, None, inspect_checkpoint(fetch_model(resolved)))


def full_name(name: str, recipe: Recipe) -> str:
    """Expand the short names 3 and @champion to URIs of the recipe's registered model; return other names unchanged."""
    name = name.strip()
    if name.isdecimal():
        return f"models:/{recipe.registered_model}/{name}"
    return f"models:/{recipe.registered_model}{name}" if name.startswith("@") else name


def find_sentence_model(uri: str, recipe: Recipe, *, parameter: str = "model") -> SavedModel:
    """Locate the model that a step works on.

    A bare encoder gets the recipe's pooling and length, and must have enough positions for that length.

    Args:
        uri: As for `find_model`; a version such as 3, or @champion, is one of the recipe's registered model.
        recipe: Its pooling, length and permission to convert pickles count.
        parameter: Name of the parameter in error messages.
    """
    try:
        model = find_model(full_name(uri, recipe), convert_pickle=recipe.convert_pickle)
    except (EncoderError, HubError) as error:
        raise type(error)(str(error).replace("base_model=", f"{parameter}=")) from error
    if not model.is_sentence_model:
        check_length(model, recipe)
    return model


def check_length(model: SavedModel, recipe: Recipe) -> None:
    """Refuse a `max_seq_length` larger than the number of positions of a model."""
    limit = model.checkpoint.max_positions
    if limit is not None and recipe.max_seq_length > limit:
        raise RecipeError(
            f"max_seq_length={recipe.max_seq_length}: {model.uri} takes at most {limit} pieces. "
            f"Ask for {limit} or fewer."
        )


def find_base_of(model: SavedModel) -> SavedModel | None:
    """Locate the base of a variant; None without a lineage, and, with a message, where the base cannot be loaded."""
    lineage = read_lineage(model.folder)
    if lineage is None:
        return None
    revision = f"@{lineage.base.revision}" if lineage.base.revision else ""
    try:
        return find_model(lineage.base.id + revision, convert_pickle=True)  # allowed when the variant was made
    except SbertPruneError as error:
        echo(f"the base cannot be loaded, so no speed-up over it and no difference to it is measured: {error}")
        return None


def find_base(recipe: Recipe) -> PruneInputs:
    """Locate the recipe's base, and check its length, vocabulary limit and layers."""
    base = find_model(recipe.base_model, convert_pickle=recipe.convert_pickle)
    check_length(base, recipe)
    _check_vocabulary(recipe, base)
    cuts = tuple(map(str, recipe.schedule)) if recipe.schedule else (recipe.layers.strip(),)
    depth, model_type = base.checkpoint.depth, str(base.checkpoint.config["model_type"])
    for layers in cuts:
        selection = choose_layers(layers, strategy=recipe.strategy, depth=depth)
        if selection is not None:
            check_selection(model_type, selection)
        depth = int(layers) if layers.isdecimal() else depth
    return PruneInputs(base, cuts, recipe.strategy if cuts[-1].isdecimal() else EXPLICIT)


def _check_vocabulary(recipe: Recipe, base: SavedModel) -> None:
    """Refuse what trimming would refuse later, as far as that can be checked without loading the base."""
    limit = recipe.vocabulary_limit
    if recipe.vocabulary_corpus is not None:
        if not limit.trims:
            raise RecipeError(
                f"vocabulary_corpus={recipe.vocabulary_corpus}: with vocabulary=all nothing is trimmed to it. "
                "Give vocabulary as well, a number of pieces such as 8000 or a share such as 0.999; "
                "or leave the corpus out."
            )
        for _ in load_texts(Path(recipe.vocabulary_corpus)):
            pass  # to the end: report an unreadable line now, not after the reference has been trained
    path = base.folder / "tokenizer.json"
    if limit.pieces is not None and path.is_file():
        parsed = {"added_tokens": [], "post_processor": None} | json.loads(path.read_bytes())
        if "type" in parsed["model"]:  # missing in old files
            merges = [
                merge.split(" ") if isinstance(merge, str) else merge for merge in parsed["model"].get("merges", [])
            ]
            must_stay(read_pieces(parsed | {"model": parsed["model"] | {"merges": merges}}), limit, named_ids(parsed))


def describe_pruning(inputs: PruneInputs, recipe: Recipe) -> str:
    """Return a line about the layers and the vocabulary to keep."""
    depth = inputs.base.checkpoint.depth
    layers = f"keep {inputs.selection or ', then '.join(inputs.cuts)} of {depth} layers ({inputs.strategy})"
    limit = recipe.vocabulary_limit
    trimmed = (
        f"; trim the vocabulary to {limit}{' pieces' if limit.pieces else ' of its corpus'}" if limit.trims else ""
    )
    return f"base {inputs.base.uri}: {layers}{trimmed}{_describe_half(inputs.base, recipe)}"


def _describe_half(base: SavedModel, recipe: Recipe) -> str:
    """Return the size of a base in half precision, and in which precision its variants are saved; "" for another."""
    half = base.checkpoint.half_precision
    if half is None:
        return ""
    advice = f" (save_precision={half} keeps half the bytes)" if recipe.save_precision == FULL_PRECISION else ""
    size = f"{base.checkpoint.num_bytes() / 1e6:,.1f} MB on disk"
    return f"; the base is in {half}, {size}, and what is made of it is saved in {recipe.save_precision}{advice}"


def find_named_rivals(text: str | None, recipe: Recipe) -> dict[str, SavedModel]:
    """Locate the models that a user holds against a variant, by the names that the user gave.

    Raises:
        RecipeError: A name is empty or given twice, or there is no such model; the errors of `find_model` as well.
    """
    names = [name.strip() for name in (text or "").split(",")] if text else []
    if "" in names or len(set(names)) < len(names):
        raise RecipeError(
            f"rivals={text}: write each model once, with commas between them, such as minilm/,org/encoder."
        )
    return {name: find_sentence_model(name, recipe, parameter="rivals") for name in names}


def find_named_teacher(recipe: Recipe) -> SavedModel | None:
    """Locate the teacher that the recipe names; None where the teacher is the reference, or there is none."""
    if not recipe.has_teacher or recipe.distil.teacher == REFERENCE_TEACHER:
        return None
    return find_sentence_model(recipe.distil.teacher, recipe, parameter="distil_teacher")
