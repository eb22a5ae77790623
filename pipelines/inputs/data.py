"""The rows that a recipe names: parsed, kept apart from each other, checked, and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from pipelines.inputs.texts import TrainingTexts
from sbert_prune.data.describe import describe_rows, preview
from sbert_prune.data.leaks import find_leaks, remove_leaks
from sbert_prune.data.sources import QUICKSTART, STS_SPLITS, StsData, find_files, load_nli, load_sts, load_sts_for_evaluation
from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError, RecipeError
from sbert_prune.strategies import MEASURED

if TYPE_CHECKING:
    from sbert_prune.data.leaks import Leaks
    from sbert_prune.data.rows import NliRow, Row, RowSet, StsRow
    from sbert_prune.recipe.recipe import Recipe

Value = TypeVar("Value")


@dataclass(frozen=True)
class Found(Generic[Value]):
    """Rows, and the lines that say what was understood. leaks: what train shared with dev and test, by phase."""

    value: Value
    lines: tuple[str, ...]
    leaks: Mapping[str, Leaks]


def check_named_data(recipe: Recipe) -> None:
    """Refuse data that the recipe does not name, or that are not where it says, before anything is fetched.

    Raises RecipeError and DataError.
    """
    named: list[tuple[str, tuple[str, ...]]] = [(_named_data(recipe, "sts", recipe.sts.data), STS_SPLITS)]
    if _trains_on_nli(recipe):
        named.append((_named_data(recipe, "nli", recipe.nli.data), ("train",)))
    for setting, splits in named:
        if setting != QUICKSTART:
            find_files(setting, splits, required=splits)


def find_texts(recipe: Recipe) -> Found[TrainingTexts]:
    """All rows that a recipe trains on, chooses and tests by.

    NLI rows are read where a phase, or the reference's, wants them, and where a teacher or a measure can use their sentences.
    """
    sts = find_sts(recipe)
    wanted = _trains_on_nli(recipe)
    useful = recipe.nli.data is not None and ("distil" in recipe.phases or needs_texts(recipe))
    if not wanted and not useful:
        return Found(TrainingTexts(None, sts.value), sts.lines, sts.leaks)
    nli = find_nli(recipe, sts.value, trains=wanted)
    return Found(TrainingTexts(nli.value, sts.value), (*nli.lines, *sts.lines), {**nli.leaks, **sts.leaks})


def _trains_on_nli(recipe: Recipe) -> bool:
    """Whether a phase of the variant, or of its reference, wants NLI rows."""
    return "nli" in (*recipe.phases, *recipe.of_reference(1).phases)


def needs_texts(recipe: Recipe) -> bool:
    """Whether choosing the layers, or trimming the vocabulary, looks at the training data."""
    measures = recipe.strategy in MEASURED and recipe.layers.strip().isdecimal()
    return measures or (recipe.vocabulary_limit.trims and recipe.vocabulary_corpus is None)


def find_nli(recipe: Recipe, sts: StsData | None, *, trains: bool = True) -> Found[RowSet[NliRow]]:
    """The NLI rows. Rows that the loss cannot use are found out here.

    sts: whose dev and test they are kept apart from; None where nothing is held out.  trains: False reads them for their sentences alone.
    """
    rows = load_nli(_named_data(recipe, "nli", recipe.nli.data), on_bad_rows=recipe.on_bad_rows)
    found = _without_leaks(recipe, "nli", rows, {"dev": sts.dev, "test": sts.test} if sts else {})
    if not trains or recipe.nli.loss != "mnrl":
        return found
    from sbert_prune.data.triplets import sample_by_premise, triplets

    kept, limit = found.value.rows, recipe.nli.max_rows
    made = triplets(kept if limit is None else sample_by_premise(kept, limit, seed=recipe.seed))
    return replace(found, lines=(*found.lines, f"nli train: {len(made):,} triplets of anchor, entailment and contradiction"))


def find_sts(recipe: Recipe) -> Found[StsData]:
    """The STS pairs. Splits that cannot be scored are found out here."""
    named = _named_data(recipe, "sts", recipe.sts.data)
    data = load_sts(named, score_range=recipe.sts.score_range, on_bad_rows=recipe.on_bad_rows, shares=recipe.split)
    held_out = {"dev": data.dev, "test": data.test}
    for split, rows in held_out.items():
        check_pairs(rows.rows, f"{split} ({rows.name})")
    train = _without_leaks(recipe, "sts", data.train, held_out)
    lines = [*train.lines, *(f"sts {line}" for split, rows in held_out.items() for line in describe_rows(split, rows))]
    shared = find_leaks((row.sentences for row in data.dev.rows), {"test": (row.sentences for row in data.test.rows)}).splits["test"]
    if shared.pairs:
        lines.append(f"sts note: {shared.pairs:,} of the dev pairs stand in test too; both are taken as they are")
    return Found(replace(data, train=train.value), tuple(lines), train.leaks)


def _without_leaks(recipe: Recipe, phase: str, rows: RowSet[Row], held_out: Mapping[str, RowSet[StsRow]]) -> Found[RowSet[Row]]:
    """Train rows without what dev and test hold too, described."""
    kept: RowSet[Row]
    leaks: Leaks
    kept, leaks = remove_leaks(rows, held_out, keep=recipe.keep_leaks)
    lines: list[str] = leaks.lines()
    if recipe.keep_leaks and len(leaks.sentence_rows):
        lines.append(f"train: {len(leaks.sentence_rows):,} rows that stand in dev or test too are trained on (keep_leaks=true)")
    told = (*(f"{phase} {line}" for line in describe_rows("train", kept)), *preview(kept), *(f"{phase} {line}" for line in lines))
    return Found(kept, told, {phase: leaks} if held_out else {})


def find_held_out(recipe: Recipe) -> StsData | None:
    """The STS pairs by which a single step judges its weights on the way; None where the recipe names none."""
    return find_sts(recipe).value if recipe.sts.data is not None else None


def find_sts_splits(recipe: Recipe) -> dict[str, RowSet[StsRow]]:
    """The pairs to evaluate on, checked, by split; a single file is the test."""
    named = _named_data(recipe, "sts", recipe.sts.data)
    splits = load_sts_for_evaluation(named, score_range=recipe.sts.score_range, on_bad_rows=recipe.on_bad_rows)
    for split, rows in splits.items():
        check_pairs(rows.rows, f"{split} ({rows.name})")
    return splits


def check_texts(recipe: Recipe, texts: TrainingTexts) -> None:
    """Refuse a measured strategy that the data say nothing for, before anything is trained."""
    if recipe.strategy == "loss-per-depth" and len(texts.entailments()) < 2:
        source = texts.nli.source if texts.nli else "the recipe"
        raise DataError(
            f"strategy=loss-per-depth measures by entailments, and {source} has {len(texts.entailments())}. "
            "Give NLI rows with entailments, or take another strategy."
        )


def _named_data(recipe: Recipe, group: str, data: str | None) -> str:
    if data is None:
        hint = recipe.hint(f"{group}_data")
        advice = f" {hint}" if hint else f" Give it there or as a parameter, -P {group}_data=..."
        raise RecipeError(f"The recipe {recipe.name} lacks '{group}.data'.{advice}")
    return data
