"""The models that a model is compared with: found in the registry, or named by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.inputs.base import find_model
from pipelines.steps.evaluate import READS, judge, score_pairs, size_and_speed
from pipelines.steps.keys import judgement_key
from pipelines.steps.measures import Measures
from pipelines.steps.records import logged_id
from sbert_prune.errors import SbertPruneError, TrackingError
from sbert_prune.evaluation.dev_pairs import DevPairs
from sbert_prune.metrics import STS_TEST
from sbert_prune.registry import versions as registry
from sbert_prune.registry.history import PRODUCTION
from sbert_prune.registry.promotion import holder
from sbert_prune.registry.version import RIVAL, Version
from sbert_prune.report.comparison import Judged
from sbert_prune.tracking.store import finished_runs, read_artifact

if TYPE_CHECKING:
    from pipelines.inputs.exam import Exam
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.store import Store


@dataclass(frozen=True)
class Rivals:
    """The models that a model is compared with.

    Attributes:
        base: The base before pruning.
        reference: The unpruned base after the same recipe.
        champion: The version in production.
        siblings: STS test scores by strategy, of variants with the same recipe and number of layers.
    """

    base: SavedModel | None = None
    reference: SavedModel | None = None
    champion: SavedModel | None = None
    siblings: Mapping[str, float] | None = None

    def by_name(self) -> dict[str, SavedModel]:
        """Return the models by name. The base comes last, because it stays in memory longest."""
        models = {"reference": self.reference, "champion": self.champion, "base": self.base}
        return {name: model for name, model in models.items() if model is not None}


def find_champion(store: Store, name: str, source: SavedModel) -> SavedModel | None:
    """Return the version in production.

    None if there is none, it is the source itself, or it cannot be fetched; a message gives the reason then.
    """
    champion = holder(store, name, PRODUCTION)
    if champion is None or (logged_id(source) is not None and champion.tags.get("model_id") == logged_id(source)):
        return None
    try:
        return find_model(champion.uri)
    except SbertPruneError as error:
        echo(f"not compared with the champion, {champion.uri}: {error}")
        return None


def find_siblings(store: Store, name: str, sibling_key: str) -> dict[str, float]:
    """Return the best STS test score of each strategy, among registered variants that differ in it alone."""
    scores: dict[str, float] = {}
    for version in registry.versions(store, name, tagged={"sibling_key": sibling_key}):
        score = version.metrics.get(STS_TEST, math.nan)
        if not version.is_reference and math.isfinite(score):
            strategy = version.tags.get("strategy", "explicit")
            scores[strategy] = max(score, scores.get(strategy, score))
    return scores


def find_rivals(
    store: Store, recipe: Recipe, inputs: Inputs, source: SavedModel, reference: SavedModel | None
) -> Rivals:
    """Return all rivals of a model that `full` made; without champion and siblings if the registry does not answer."""
    rivals = Rivals(inputs.pruning.base, reference)
    try:
        return replace(
            rivals,
            champion=find_champion(store, recipe.registered_model, source),
            siblings=find_siblings(store, recipe.registered_model, inputs.sibling_key(recipe)),
        )
    except TrackingError as error:
        echo(f"not compared with the champion and siblings: {error}")
        return rivals


_PAIRS = "pairs.json"


def judge_rivals(
    context: Context, recipe: Recipe, inputs: Inputs, sources: Mapping[str, SavedModel]
) -> tuple[Judged, ...]:
    """Judge the models that the user named, on the pairs that a variant is tested on; each is judged once.

    Raises:
        SbertPruneError: A rival cannot be loaded, or its embeddings order nothing.
    """
    return tuple(_judge_rival(context, recipe, inputs, name, source) for name, source in sources.items())


def _judge_rival(context: Context, recipe: Recipe, inputs: Inputs, name: str, source: SavedModel) -> Judged:
    exam, base, depth = inputs.exam, inputs.pruning.base, str(source.checkpoint.depth)
    tags = {"role": RIVAL, "num_layers": depth, "depth": depth, "kept_layers": "all"}
    key = judgement_key(recipe, exam, source, {"base of the speed": base})
    for earlier in () if context.force else finished_runs(context.store, "step_key", key):
        pairs = DevPairs.parse(read_artifact(context.store, earlier.info.run_id, _PAIRS) or b"")
        if pairs is not None:
            echo(f"rival {name}: judged by run {earlier.info.run_id}, which is reused (force=true repeats it)")
            return Judged(Version(name, "", earlier.info.run_id, "None", tags, earlier.data.metrics), pairs.score)
    with context.step("rival", {"rival": name, "step_key": key}, recipe, reads=READS) as run:
        measures = Measures.of(exam, recipe).of_pairs()
        try:
            measured = judge(context, recipe, source, measures)
            metrics = measured.metrics() | size_and_speed(context, recipe, source, base, measures)
        except SbertPruneError as error:
            raise type(error)(f"rivals={name}: {error} Or leave it out of rivals.") from error
        pairs = score_pairs(context, recipe, source, exam.tested[1])
        run.log_text(pairs.to_json(), _PAIRS)
        run.log_metrics(metrics)
    return Judged(Version(name, "", run.run_id, "None", tags, metrics), pairs.score)


def judge_version(context: Context, recipe: Recipe, version: Version, exam: Exam) -> Judged:
    """Return a version as one that rivals are compared with; its embeddings are cached."""
    return Judged(version, score_pairs(context, recipe, find_model(version.uri), exam.tested[1]).score)
