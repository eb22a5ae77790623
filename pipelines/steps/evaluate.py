"""The step that judges a saved model, beside its rivals on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.steps.judgement_log import Efficiency, Verdict, keep_beside, log_judgement, log_ruin
from pipelines.steps.keys import judgement_key
from pipelines.steps.measures import Measures
from pipelines.steps.records import (
    as_sentence_model,
    data_record,
    headlines,
    lineage_tags,
    log_rows,
    logged_id,
    refuse_non_finite,
    size_metrics,
)
from sbert_prune.errors import RoundTripError, SbertPruneError
from sbert_prune.evaluation.comparison import Judgement
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.evaluation.diagnostics import Evidence, find_diagnostics
from sbert_prune.evaluation.efficiency.flops import measure_flops
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.evaluation.embeddings import embed_once
from sbert_prune.evaluation.measures import Measured, measure_all
from sbert_prune.evaluation.sts import StsMeasure
from sbert_prune.layer_analysis.anatomy import look_at_layers
from sbert_prune.metrics import STS_TEST
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import PROBES, embed, save_sentence_model
from sbert_prune.tracking.store import finished_runs, read_artifact

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.exam import Exam
    from pipelines.steps.context import Context
    from pipelines.steps.rivals import Rivals
    from sbert_prune.evaluation.embeddings import Embedded
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run

READS = ("sts.data", "sts.score_range", "on_bad_rows", "sts_eval", "classification", "robustness", "mteb")
"""The settings that judging depends on."""


@dataclass(frozen=True)
class Earlier:
    """The same judgement, passed before. run_id: of the run that judged.  dev_pairs: what the model said of them."""

    metrics: dict[str, float]
    run_id: str
    dev_pairs: str | None


def judged_tags(source: SavedModel, exam: Exam) -> dict[str, str]:
    """What was judged, and on which pairs: by this `register` finds it."""
    return {"fingerprint": source.checkpoint.fingerprint()} | {
        f"sts_{split}_digest": rows.digest[:16] for split, rows in exam.splits.items()
    }


def find_earlier(context: Context, recipe: Recipe, source: SavedModel, exam: Exam, rivals: Rivals) -> Earlier | None:
    """The judgement of the same model on the same rows beside the same rivals; None where there is none, or it is to be repeated."""
    if context.force:
        return None
    for run in finished_runs(context.store, "step_key", judgement_key(recipe, exam, source, rivals.by_name())):
        said = read_artifact(context.store, run.info.run_id, FILE_NAME)
        earlier = Earlier(headlines(run.data.metrics), run.info.run_id, said.decode() if said is not None else None)
        with context.step(
            "evaluate", judged_tags(source, exam) | {"reused_from": earlier.run_id}, recipe, reads=READS
        ) as again:
            echo(f"step evaluate: the same was judged by run {earlier.run_id}, which is reused (force=true repeats it)")
            again.log_metrics(earlier.metrics, model_id=logged_id(source))
            if earlier.dev_pairs is not None:
                keep_beside(context.store, source, earlier.dev_pairs)
        return earlier
    return None


def evaluate(context: Context, recipe: Recipe, source: SavedModel, exam: Exam, rivals: Rivals) -> Verdict:
    """Judge a saved model on all that the exam holds, and log what was found: metrics, `report.md`, `judgement.json`, pictures.

    A rival that cannot be judged is a note: what is wrong with it is not the model's fault.

    Raises RoundTripError for embeddings that no use can be made of; the run's report says so.
    """
    tags = lineage_tags(lineage_of(source)) | {f"against_{name}": rival.uri for name, rival in rivals.by_name().items()}
    key = judgement_key(recipe, exam, source, rivals.by_name())
    with context.step("evaluate", tags | judged_tags(source, exam) | {"step_key": key}, recipe, reads=READS) as run:
        _log_data(run, exam)
        model = as_sentence_model(source, recipe).to(context.hardware.device)
        measures = Measures.of(exam, recipe)
        with _ruin_reported(run, source):
            own = _ask(recipe, source, model, measures)
        theirs, base, notes = _ask_rivals(context, recipe, rivals, measures)
        looked = _look(model, base, exam, measures)
        if recipe.mteb:
            own |= _run_mteb(context, recipe, run, model)
        judgement = Judgement(own | Measured(notes=notes), theirs)
        if "reference" in theirs and judgement.retention() is None and STS_TEST in own.scores:
            nothing = f"the reference scores {theirs['reference'].scores[STS_TEST].value:.4f} on test, so there is no share of it"
            judgement = Judgement(own | Measured(notes=(*notes, nothing)), theirs)
        metrics = judgement.metrics() | looked.metrics() | size_metrics(model, source)
        if context.parent is None:  # a longer command does so where it registers
            metrics |= _memory(context, source, model.cpu())
        refuse_non_finite(metrics)
        run.log_metrics(metrics, model_id=logged_id(source))
        dev_pairs = _report_dev_score(context, recipe, run, source, model, exam)
        signatures = tuple(find_diagnostics(_evidence(source, judgement, metrics, rivals)))
        verdict = Verdict(source, judgement, looked, signatures, headlines(metrics), run.run_id, dev_pairs)
        log_judgement(run, verdict, metrics)
    echo(*(f"look: {signature}" for signature in signatures))
    return verdict


def _report_dev_score(
    context: Context, recipe: Recipe, run: Run, source: SavedModel, model: SentenceTransformer, exam: Exam
) -> str | None:
    """What the model says of each dev pair, for `promote`; it goes along with a model that is logged already."""
    if "dev" not in exam.splits:
        return None
    rows = exam.splits["dev"]
    measure = StsMeasure("sts_dev", rows.rows, rows.name)
    cosines = measure.cosines(_embedded(recipe, source, model, list(measure.texts())))
    text = DevPairs(rows.digest[:16], measure.gold, cosines).to_json()
    run.log_text(text, FILE_NAME)
    keep_beside(context.store, source, text)
    return text


def judge(context: Context, recipe: Recipe, source: SavedModel, measures: Measures) -> Measured:
    """What some measures find about one model, without a run."""
    return _ask(recipe, source, as_sentence_model(source, recipe).to(context.hardware.device), measures)


def _log_data(run: Run, exam: Exam) -> None:
    for pairs in (*exam.splits.values(), *exam.sts.values()):
        log_rows(run, pairs, "testing")
    for data in exam.classification.values():
        for split, rows in data.splits.items():
            run.log_data(data_record(rows), "training" if split == "train" else "testing")


def _ask(recipe: Recipe, source: SavedModel, model: SentenceTransformer, measures: Measures) -> Measured:
    return measure_all(measures.all, _embedded(recipe, source, model, measures.texts()))


def _embedded(recipe: Recipe, source: SavedModel, model: SentenceTransformer, texts: list[str]) -> Embedded:
    pooling = "" if source.is_sentence_model else f" {recipe.pooling}"  # which a bare encoder has from the recipe
    return embed_once(model, texts, source.uri, fingerprint=source.checkpoint.fingerprint() + pooling)


def _ask_rivals(
    context: Context, recipe: Recipe, rivals: Rivals, measures: Measures
) -> tuple[dict[str, Measured], SentenceTransformer | None, tuple[str, ...]]:
    """What was found about each, one in memory at a time; the base as it was loaded; and notes about those that cannot be judged."""
    found: dict[str, Measured] = {}
    notes: list[str] = []
    model: SentenceTransformer | None = None
    for name, rival in rivals.by_name().items():
        model = None  # the one before goes first
        try:
            model = as_sentence_model(rival, recipe).to(context.hardware.device)
            found[name] = _ask(recipe, rival, model, measures if name == "reference" else measures.of_pairs())
        except SbertPruneError as error:
            notes.append(f"the {name}, {rival.uri}, is not compared with: {error}")
    return found, model if "base" in found else None, tuple(notes)


def _look(model: SentenceTransformer, base: SentenceTransformer | None, exam: Exam, measures: Measures) -> Efficiency:
    if base is not None:
        base.max_seq_length = model.max_seq_length  # the same pieces for both
    split, pairs = exam.looked_at
    return Efficiency(
        speed=measure_speed(model, base, measures.sentences),
        flops=measure_flops(model, base, measures.sentences),
        layers=look_at_layers(model, pairs.rows),
        base_layers=look_at_layers(base, pairs.rows) if base is not None else None,
        split=split,
    )


def _run_mteb(context: Context, recipe: Recipe, run: Run, model: SentenceTransformer) -> Measured:
    """The main scores of MTEB's tasks; all others lie in the run, as mteb writes them.

    At the end of a longer command a task that fails is a note: hours of training are not lost to it.
    """
    from sbert_prune.evaluation.mteb import run_tasks

    folder = context.workspace / f"mteb-{run.run_id}"
    try:
        found = run_tasks(model, recipe.mteb, folder)
    except SbertPruneError as error:
        if context.parent is None:
            raise
        return Measured(notes=(str(error),))
    for path in sorted(folder.glob("*.json")):
        run.log_text(path.read_text(encoding="utf-8"), f"mteb/{path.name}")
    return found


def _memory(context: Context, source: SavedModel, model: SentenceTransformer) -> dict[str, float]:
    """Of a fresh process; a bare encoder is saved as the sentence model that was judged."""
    folder = source.folder
    if not source.is_sentence_model:
        folder = context.workspace / "given"
        save_sentence_model(model, folder, lineage_of(source))
    return reload_in_fresh_process(folder, embed(model, PROBES)).metrics()


def _evidence(source: SavedModel, judgement: Judgement, metrics: Mapping[str, float], rivals: Rivals) -> Evidence:
    theirs = {name: measured.metrics() for name, measured in judgement.rivals.items()}
    strategy = lineage_of(source).strategy
    siblings = {**rivals.siblings, strategy: metrics[STS_TEST]} if rivals.siblings and STS_TEST in metrics else {}
    return Evidence(metrics, theirs.get("reference", {}), theirs.get("base", {}), siblings)


@contextmanager
def _ruin_reported(run: Run, source: SavedModel) -> Iterator[None]:
    """Embeddings that are not finite, or all the same, are named in the report of the run that fails."""
    try:
        yield
    except RoundTripError as error:
        log_ruin(run, source, error)
        raise
