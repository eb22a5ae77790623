"""The evaluate step: measure a saved model, and its rivals on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.steps.judgement_log import (
    Efficiency,
    Verdict,
    log_broken_embeddings,
    log_numbers,
    report_of,
    store_dev_pairs,
)
from pipelines.steps.keys import exam_tags, judgement_key
from pipelines.steps.measures import Measures
from pipelines.steps.records import lineage_tags, log_rows, logged_id, refuse_non_finite, size_metrics
from sbert_prune.errors import RoundTripError, SbertPruneError
from sbert_prune.evaluation.comparison import Judgement
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.evaluation.diagnostics import Evidence, find_diagnostics
from sbert_prune.evaluation.efficiency.flops import measure_flops
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.evaluation.efficiency.timing import DISTURBED, MACHINE
from sbert_prune.evaluation.embeddings import embed_once
from sbert_prune.evaluation.measures import Measured, measure_all
from sbert_prune.evaluation.sts import StsMeasure
from sbert_prune.inputs.texts import data_record
from sbert_prune.layer_analysis.anatomy import inspect_layers
from sbert_prune.metrics import STS_TEST, headlines, without_intervals
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import PROBES, as_sentence_model, embed, save_sentence_model
from sbert_prune.registry.version import figures
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.store import TAG, finished_runs, read_artifact

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.exam import Exam
    from pipelines.steps.context import Context
    from pipelines.steps.rivals import Rivals
    from sbert_prune.data.rows import RowSet, StsRow
    from sbert_prune.evaluation.efficiency.speed import Speed
    from sbert_prune.evaluation.embeddings import Embedded
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store

READS = ("sts.data", "sts.score_range", "on_bad_rows", "sts_eval", "classification", "robustness", "mteb")
"""The settings that an evaluation depends on."""


@dataclass(frozen=True)
class EarlierEvaluation:
    """The result of an earlier evaluation with the same key.

    Attributes:
        metrics: Those that versions are compared by.
        run_id: The run of that evaluation.
        dev_pairs: The model's score of each dev pair, as text; None without dev pairs.
        conditions: The conditions of its absolute times, as tags.
    """

    metrics: dict[str, float]
    run_id: str
    dev_pairs: str | None
    conditions: dict[str, str]


def evaluation_tags(recipe: Recipe, source: SavedModel, exam: Exam) -> dict[str, str]:
    """Return the tags by which `register` finds the evaluation: the model's fingerprint, and what it was made on."""
    return {"fingerprint": source.checkpoint.fingerprint()} | exam_tags(recipe, exam)


def find_earlier(
    context: Context, recipe: Recipe, source: SavedModel, exam: Exam, rivals: Rivals
) -> EarlierEvaluation | None:
    """Return and record an earlier evaluation of the same model on the same rows beside the same rivals.

    None without one, or if steps are forced to run again.
    """
    if context.force:
        return None
    key = judgement_key(recipe, exam, source, rivals.by_name())
    run = next(iter(finished_runs(context.store, "step_key", key)), None)
    if run is None:
        return None
    dev_pairs = read_artifact(context.store, run.info.run_id, FILE_NAME)
    earlier = EarlierEvaluation(
        metrics=headlines(run.data.metrics),
        run_id=run.info.run_id,
        dev_pairs=dev_pairs.decode() if dev_pairs is not None else None,
        conditions={key: run.data.tags[TAG + key] for key in (MACHINE, DISTURBED) if TAG + key in run.data.tags},
    )
    tags = evaluation_tags(recipe, source, exam) | {"reused_from": earlier.run_id} | earlier.conditions
    with context.step("evaluate", tags, recipe, reads=READS) as new_run:
        echo(f"step evaluate: the same was judged by run {earlier.run_id}, which is reused (force=true repeats it)")
        _log_metrics(new_run, earlier.metrics, source)
        if earlier.dev_pairs is not None:
            store_dev_pairs(context.store, source, earlier.dev_pairs)
    return earlier


def evaluate(context: Context, recipe: Recipe, source: SavedModel, exam: Exam, rivals: Rivals) -> Verdict:
    """Evaluate a saved model, and log metrics, the report, `judgement.json` and pictures.

    A rival that cannot be evaluated becomes a note, because the model is not the cause.

    Args:
        context: The command's context.
        recipe: Sets what is measured.
        source: The model.
        exam: The data to evaluate on.
        rivals: The models to compare with.

    Raises:
        RoundTripError: The embeddings are not finite, or all the same; the run's report names the reason.
    """
    named_rivals = rivals.by_name()
    tags = lineage_tags(lineage_of(source)) | {f"against_{name}": rival.uri for name, rival in named_rivals.items()}
    key = judgement_key(recipe, exam, source, named_rivals)
    tags |= evaluation_tags(recipe, source, exam) | {"step_key": key}
    with context.step("evaluate", tags, recipe, reads=READS) as run:
        _log_data(run, exam)
        model = as_sentence_model(source, recipe).to(context.hardware.device)
        measures = Measures.of(exam, recipe)
        with _reported_if_broken(run, source):
            measured = _measure(recipe, source, model, measures)
        rivals_measured, base, notes = _measure_rivals(context, recipe, rivals, measures)
        efficiency = _measure_efficiency(model, base, exam, measures)
        run.set_tags(efficiency.speed.conditions.tags)
        warn_of_disturbance(efficiency.speed)
        if recipe.mteb:
            measured |= _run_mteb(context, recipe, run, model)
        judgement = Judgement(measured | Measured(notes=notes), rivals_measured)
        if "reference" in rivals_measured and judgement.retention() is None and STS_TEST in measured.scores:
            score = rivals_measured["reference"].scores[STS_TEST].value
            note = f"the reference scores {score:.4f} on test, so retention is undefined"
            judgement = Judgement(measured | Measured(notes=(*notes, note)), rivals_measured)
        metrics = judgement.metrics() | efficiency.metrics() | size_metrics(model, source)
        if context.parent is None:  # a longer command measures memory where it registers
            metrics |= _measure_memory(context, source, model.cpu())
        refuse_non_finite(metrics)
        _log_metrics(run, metrics, source)
        dev_pairs = _log_dev_pairs(context.store, recipe, run, source, model, exam=exam)
        diagnostics = tuple(find_diagnostics(_evidence(source, judgement, metrics, rivals)))
        verdict = Verdict(source, judgement, efficiency, diagnostics, headlines(metrics), run.run_id, dev_pairs)
        log_numbers(run, verdict)
        is_alone = context.parent is None and logged_id(source) is not None
        next_step = f"Next: `{command_line('register', model=source.uri)}`" if is_alone else ""
        report_of(verdict, metrics, next_step).log(run)
    echo(*(f"diagnostic: {diagnostic}" for diagnostic in diagnostics))
    return verdict


def _log_metrics(run: Run, metrics: dict[str, float], source: SavedModel) -> None:
    """Log the metrics, and all but the intervals on the logged model."""
    values = without_intervals(metrics)
    run.log_metrics(values, model_id=logged_id(source))
    run.log_metrics({name: value for name, value in metrics.items() if name not in values})
    run.describe(f"{source.uri}: {figures(metrics)}" if logged_id(source) else figures(metrics))


def _log_dev_pairs(
    store: Store, recipe: Recipe, run: Run, source: SavedModel, model: SentenceTransformer, *, exam: Exam
) -> str | None:
    """Log the model's score of each dev pair, for `promote`, and store it beside a model that is logged already."""
    if "dev" not in exam.splits:
        return None
    text = _pairs_of(recipe, source, model, exam.splits["dev"]).to_json()
    run.log_text(text, FILE_NAME)
    store_dev_pairs(store, source, text)
    return text


def _pairs_of(recipe: Recipe, source: SavedModel, model: SentenceTransformer, rows: RowSet[StsRow]) -> DevPairs:
    measure = StsMeasure("sts", rows.rows, rows.name)
    cosines = measure.cosines(_embed(recipe, source, model, list(measure.texts())))
    return DevPairs(rows.digest[:16], measure.gold, cosines)


def score_pairs(context: Context, recipe: Recipe, source: SavedModel, rows: RowSet[StsRow]) -> DevPairs:
    """Return a model's score of each of some pairs."""
    return _pairs_of(recipe, source, as_sentence_model(source, recipe).to(context.hardware.device), rows)


def size_and_speed(
    context: Context, recipe: Recipe, source: SavedModel, base: SavedModel, measures: Measures
) -> dict[str, float]:
    """Return the metrics of a model's size, and of its speed beside another one's."""
    device = context.hardware.device
    model, other = (as_sentence_model(saved, recipe).to(device) for saved in (source, base))
    other.max_seq_length = min(other.max_seq_length, model.max_seq_length)
    speed = measure_speed(model, None if source is base else other, measures.sentences)
    warn_of_disturbance(speed)
    return size_metrics(model, source) | speed.metrics()


def judge(context: Context, recipe: Recipe, source: SavedModel, measures: Measures) -> Measured:
    """Return the results of some measures for one model, without a run."""
    model = as_sentence_model(source, recipe).to(context.hardware.device)
    return _measure(recipe, source, model, measures)


def _log_data(run: Run, exam: Exam) -> None:
    for pairs in (*exam.splits.values(), *exam.sts.values()):
        log_rows(run, pairs, "testing")
    for data in exam.classification.values():
        for split, rows in data.splits.items():
            run.log_data(data_record(rows), "training" if split == "train" else "testing")


def _measure(recipe: Recipe, source: SavedModel, model: SentenceTransformer, measures: Measures) -> Measured:
    return measure_all(measures.all, _embed(recipe, source, model, measures.texts()))


def _embed(recipe: Recipe, source: SavedModel, model: SentenceTransformer, texts: list[str]) -> Embedded:
    pooling = "" if source.is_sentence_model else f" {recipe.pooling}"  # a bare encoder takes the recipe's pooling
    return embed_once(model, texts, source.uri, fingerprint=source.checkpoint.fingerprint() + pooling)


def _measure_rivals(
    context: Context, recipe: Recipe, rivals: Rivals, measures: Measures
) -> tuple[dict[str, Measured], SentenceTransformer | None, tuple[str, ...]]:
    """Measure the rivals, with one in memory at a time.

    Returns:
        The results by name, the base as it was loaded, and notes about rivals that cannot be evaluated.
    """
    results: dict[str, Measured] = {}
    notes: list[str] = []
    model: SentenceTransformer | None = None
    for name, rival in rivals.by_name().items():
        model = None  # frees the previous rival before the next is loaded
        try:
            model = as_sentence_model(rival, recipe).to(context.hardware.device)
            own_measures = measures if name == "reference" else measures.of_pairs()
            results[name] = _measure(recipe, rival, model, own_measures)
        except SbertPruneError as error:
            notes.append(f"not compared with the {name}, {rival.uri}: {error}")
    return results, model if "base" in results else None, tuple(notes)


def _measure_efficiency(
    model: SentenceTransformer, base: SentenceTransformer | None, exam: Exam, measures: Measures
) -> Efficiency:
    if base is not None:
        base.max_seq_length = model.max_seq_length  # so that both embed the same tokens
    split, pairs = exam.looked_at
    return Efficiency(
        speed=measure_speed(model, base, measures.sentences),
        flops=measure_flops(model, base, measures.sentences),
        layers=inspect_layers(model, pairs.rows),
        base_layers=inspect_layers(base, pairs.rows) if base is not None else None,
        split=split,
    )


def warn_of_disturbance(speed: Speed) -> None:
    """Print a line where other programs have slowed a measurement."""
    if disturbance := speed.conditions.disturbance:
        echo(f"warning: {disturbance}: the speed-up holds, as both models were timed in turn, the latencies do not")


def _run_mteb(context: Context, recipe: Recipe, run: Run, model: SentenceTransformer) -> Measured:
    """Return the main scores of MTEB's tasks, and log the files that mteb writes.

    In a longer command a task that fails becomes a note, so that hours of training are not lost.
    """
    from sbert_prune.evaluation.mteb import run_tasks

    folder = context.workspace / f"mteb-{run.run_id}"
    try:
        measured = run_tasks(model, recipe.mteb, folder)
    except SbertPruneError as error:
        if context.parent is None:
            raise
        return Measured(notes=(str(error),))
    for path in sorted(folder.glob("*.json")):
        run.log_text(path.read_text(encoding="utf-8"), f"mteb/{path.name}")
    return measured


def _measure_memory(context: Context, source: SavedModel, model: SentenceTransformer) -> dict[str, float]:
    """Measure the memory of a fresh process; a bare encoder is first saved as the sentence model that was evaluated."""
    folder = source.folder
    if not source.is_sentence_model:
        folder = context.workspace / "given"
        save_sentence_model(model, folder, lineage_of(source))
    return reload_in_fresh_process(folder, embed(model, PROBES)).metrics()


def _evidence(source: SavedModel, judgement: Judgement, metrics: Mapping[str, float], rivals: Rivals) -> Evidence:
    rival_metrics = {name: measured.metrics() for name, measured in judgement.rivals.items()}
    strategy = lineage_of(source).strategy
    siblings = {**rivals.siblings, strategy: metrics[STS_TEST]} if rivals.siblings and STS_TEST in metrics else {}
    return Evidence(metrics, rival_metrics.get("reference", {}), rival_metrics.get("base", {}), siblings)


@contextmanager
def _reported_if_broken(run: Run, source: SavedModel) -> Iterator[None]:
    """Log a report of embeddings that are not finite, or all the same, to the run that fails."""
    try:
        yield
    except RoundTripError as error:
        log_broken_embeddings(run, source, error)
        raise
