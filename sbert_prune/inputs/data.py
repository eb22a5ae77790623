"""Load the rows that a recipe names, remove leaks between splits, check and describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from sbert_prune.data.describe import describe_rows, preview
from sbert_prune.data.leaks import find_leaks, remove_leaks
from sbert_prune.data.sources import (
    QUICKSTART,
    STS_SPLITS,
    SplitFiles,
    StsData,
    find_files,
    load_nli,
    load_sts,
    load_sts_for_evaluation,
)
from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError, RecipeError
from sbert_prune.inputs.texts import TrainingTexts
from sbert_prune.strategies import MEASURED

if TYPE_CHECKING:
    from sbert_prune.data.leaks import Leaks
    from sbert_prune.data.rows import NliRow, Row, RowSet, StsRow
    from sbert_prune.recipe.recipe import Recipe

Value = TypeVar("Value")


@dataclass(frozen=True)
class Loaded(Generic[Value]):
    """Loaded rows.

    Args:
        value: The rows.
        lines: Their description, to print.
        leaks: What train shared with dev and test, by phase.
    """

    value: Value
    lines: tuple[str, ...]
    leaks: Mapping[str, Leaks]


def check_named_data(recipe: Recipe) -> None:
    """Check that the recipe names its data and that local files exist, before anything is downloaded.

    Raises:
        RecipeError: The recipe does not name the data of a phase.
        DataError: A file or a split does not exist.
    """
    named: list[tuple[str, tuple[str, ...]]] = [(_named_data(recipe, "sts", recipe.sts.data), STS_SPLITS)]
    if _trains_on_nli(recipe):
        named.append((_named_data(recipe, "nli", recipe.nli.data), ("train",)))
    for setting, splits in named:
        if setting != QUICKSTART:
            find_files(setting, splits, required=splits)


def find_texts(
    recipe: Recipe, *, nli_data: SplitFiles | None = None, sts_data: SplitFiles | None = None
) -> Loaded[TrainingTexts]:
    """Load all train, dev and test rows of a recipe.

    NLI rows are loaded if a phase of the variant or of its reference needs them, and if distillation, a measured
    strategy or trimming can use their sentences.

    Args:
        recipe: Names the data.
        nli_data: NLI rows in memory, in place of the recipe's.
        sts_data: STS pairs in memory, likewise.
    """
    sts = find_sts(recipe, sts_data)
    trains = _trains_on_nli(recipe)
    useful = recipe.nli.data is not None and ("distil" in recipe.phases or needs_texts(recipe))
    if not trains and not useful:
        return Loaded(TrainingTexts(None, sts.value), sts.lines, sts.leaks)
    nli = find_nli(recipe, sts.value, nli_data, trains=trains)
    return Loaded(TrainingTexts(nli.value, sts.value), (*nli.lines, *sts.lines), {**nli.leaks, **sts.leaks})


def _trains_on_nli(recipe: Recipe) -> bool:
    """Return whether a phase of the variant or of its reference trains on NLI rows."""
    return "nli" in (*recipe.phases, *recipe.of_reference(1).phases)


def needs_texts(recipe: Recipe) -> bool:
    """Return whether choosing the layers or trimming the vocabulary needs the training data."""
    measures = recipe.strategy in MEASURED and recipe.layers.strip().isdecimal()
    return measures or (recipe.vocabulary_limit.trims and recipe.vocabulary_corpus is None)


def find_nli(
    recipe: Recipe, sts: StsData | None, data: SplitFiles | None = None, *, trains: bool = True
) -> Loaded[RowSet[NliRow]]:
    """Load the NLI rows, and check that the loss can use them.

    Args:
        recipe: Names them and the loss.
        sts: Rows that leak into its dev and test are removed; None without held-out data.
        data: Rows in memory, in place of the recipe's.
        trains: False loads the rows for their sentences only, without the check.
    """
    rows = load_nli(data or _named_data(recipe, "nli", recipe.nli.data), on_bad_rows=recipe.on_bad_rows)
    loaded = _without_leaks(recipe, "nli", rows, sts.held_out if sts else {})
    if not trains or recipe.nli.loss != "mnrl":
        return loaded
    from sbert_prune.data.triplets import anchors, sample_by_premise

    train, limit = loaded.value.rows, recipe.nli.max_rows
    limited = train if limit is None else sample_by_premise(train, limit, seed=recipe.seed)
    examples = anchors(limited, hard_negatives=recipe.nli.hard_negatives)
    kind = "triplets of anchor, entailment and contradiction"
    if not recipe.nli.hard_negatives:
        kind = "pairs of anchor and entailment"
    return replace(loaded, lines=(*loaded.lines, f"nli train: {len(examples):,} {kind}"))


def find_sts(recipe: Recipe, data: SplitFiles | None = None) -> Loaded[StsData]:
    """Load the STS pairs, from memory or as the recipe names them, and check that dev and test can be scored."""
    setting = data or _named_data(recipe, "sts", recipe.sts.data)
    pairs = load_sts(setting, score_range=recipe.sts.score_range, on_bad_rows=recipe.on_bad_rows, shares=recipe.split)
    held_out = pairs.held_out
    for split, rows in held_out.items():
        check_pairs(rows.rows, f"{split} ({rows.name})")
    train = _without_leaks(recipe, "sts", pairs.train, held_out)
    lines = [*train.lines, *(f"sts {line}" for split, rows in held_out.items() for line in describe_rows(split, rows))]
    dev, test = ((row.sentences for row in rows.rows) for rows in (pairs.dev, pairs.test))
    shared = find_leaks(dev, {"test": test}).splits["test"]
    if shared.pairs:
        lines.append(f"sts note: {shared.pairs:,} of the dev pairs are in test too; both are kept as they are")
    return Loaded(replace(pairs, train=train.value), tuple(lines), train.leaks)


def _without_leaks(
    recipe: Recipe, phase: str, rows: RowSet[Row], held_out: Mapping[str, RowSet[StsRow]]
) -> Loaded[RowSet[Row]]:
    """Remove train rows that are in dev or test too, and describe the others."""
    train: RowSet[Row]
    leaks: Leaks
    train, leaks = remove_leaks(rows, held_out, keep=recipe.keep_leaks)
    lines: list[str] = leaks.lines()
    if recipe.keep_leaks and len(leaks.sentence_rows):
        lines.append(
            f"train: {len(leaks.sentence_rows):,} rows that are in dev or test too are trained on (keep_leaks=true)"
        )
    description = [f"{phase} {line}" for line in describe_rows("train", train)]
    description += [*preview(train), *(f"{phase} {line}" for line in lines)]
    return Loaded(train, tuple(description), {phase: leaks} if held_out else {})


def find_held_out(recipe: Recipe) -> StsData | None:
    """Load the STS pairs that a single training step is evaluated on; None where the recipe names none."""
    return find_sts(recipe).value if recipe.sts.data is not None else None


def find_sts_splits(recipe: Recipe, data: SplitFiles | None = None) -> dict[str, RowSet[StsRow]]:
    """Load and check the pairs to evaluate on, by split; a single file is the test split."""
    setting = data or _named_data(recipe, "sts", recipe.sts.data)
    splits = load_sts_for_evaluation(setting, score_range=recipe.sts.score_range, on_bad_rows=recipe.on_bad_rows)
    for split, rows in splits.items():
        check_pairs(rows.rows, f"{split} ({rows.name})")
    return splits


def check_texts(recipe: Recipe, texts: TrainingTexts) -> None:
    """Refuse a measured strategy that the data are not sufficient for, before anything is trained."""
    if recipe.strategy == "loss-per-depth" and len(texts.entailments()) < 2:
        source = texts.nli.source if texts.nli else "the recipe"
        raise DataError(
            f"strategy=loss-per-depth measures by entailments, and {source} has {len(texts.entailments())}. "
            "Give NLI rows with entailments, or take another strategy."
        )


def _named_data(recipe: Recipe, group: str, data: str | None) -> str:
    if data is None:
        hint = recipe.hint(f"{group}_data")
        advice = f" {hint}" if hint else f" Give it there or as the parameter {group}_data."
        raise RecipeError(f"The recipe {recipe.name} lacks '{group}.data'.{advice}")
    return data
