"""The step that judges a saved model, beside its rivals on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.judgement_log import Looked, log_judgement, log_ruin
from pipelines.measures import Measures
from pipelines.records import data_record, headlines, lineage_tags, log_rows, logged_id, refuse_non_finite
from pipelines.saving import as_sentence_model, size_metrics
from sbert_prune.anatomy.look import look_at_layers
from sbert_prune.errors import RoundTripError
from sbert_prune.evaluation.efficiency.flops import measure_flops
from sbert_prune.evaluation.efficiency.speed import measure_speed
from sbert_prune.evaluation.embedded import embed_once
from sbert_prune.evaluation.judgement import STS_TEST, Judgement
from sbert_prune.evaluation.measures import Measured, measure_all
from sbert_prune.evaluation.signatures import Judged, find_signatures
from sbert_prune.fresh_process import reload_in_fresh_process
from sbert_prune.saved_model import lineage_of
from sbert_prune.sentence import PROBES, embed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.context import Context
    from pipelines.exam import Exam
    from sbert_prune.evaluation.signatures import Signature
    from sbert_prune.saved_model import SavedModel
    from sbert_prune.tracking import Run

READS = ("sts.data", "sts.score_range", "on_bad_rows", "sts_eval", "classification", "robustness", "mteb")
"""The settings that judging depends on."""


@dataclass(frozen=True)
class Rivals:
    """What a model is held against: the base as it was, the reference, the champion. None: there is none.

    siblings: STS test scores by strategy, of variants of the same recipe with as many layers.
    """

    base: SavedModel | None = None
    reference: SavedModel | None = None
    champion: SavedModel | None = None
    siblings: Mapping[str, float] | None = None

    def by_name(self) -> dict[str, SavedModel]:
        """Those that there are."""
        found = {"reference": self.reference, "base": self.base, "champion": self.champion}
        return {name: rival for name, rival in found.items() if rival is not None}


@dataclass(frozen=True)
class Verdict:
    """What judging comes to. metrics: those that runs and versions are compared by.  run_id: of the run that holds the report."""

    judgement: Judgement
    metrics: dict[str, float]
    signatures: tuple[Signature, ...]
    run_id: str


def evaluate(context: Context, source: SavedModel, exam: Exam, rivals: Rivals) -> Verdict:
    """Judge a saved model on all that the exam holds, and log what was found: metrics, `report.md`, `judgement.json`, pictures.

    Raises RoundTripError for embeddings that no use can be made of; the run's report says so.
    """
    against = {f"against_{name}": rival.uri for name, rival in rivals.by_name().items()}
    with context.step("evaluate", lineage_tags(lineage_of(source)) | against, reads=READS) as run:
        for pairs in (*exam.splits.values(), *exam.sts.values()):
            log_rows(run, pairs, "testing")
        for data in exam.classification.values():
            for split, rows in data.splits.items():
                run.log_data(data_record(rows), "training" if split == "train" else "testing")
        model = as_sentence_model(source, context.recipe).to(context.hardware.device)
        with _ruin_reported(run, source):
            judgement, looked = _look(context, source, model, exam, rivals)
        if context.recipe.mteb:
            judgement = replace(judgement, own=judgement.own | _run_mteb(context, run, model))
        metrics = judgement.metrics() | looked.metrics() | size_metrics(model, source)
        if context.parent is None and source.is_sentence_model:  # a longer command does so where it registers
            metrics |= reload_in_fresh_process(source.folder, embed(model.cpu(), PROBES)).metrics()
        refuse_non_finite(metrics)
        run.log_metrics(metrics, model_id=logged_id(source))
        signatures = tuple(_signatures(source, judgement, metrics, rivals))
        for target in (run, context.parent):  # a parent run tells the story of its children
            if target is not None:
                log_judgement(target, source, judgement, replace(looked, signatures=signatures), metrics)
    return Verdict(judgement, headlines(metrics), signatures, run.run_id)


def _signatures(source: SavedModel, judgement: Judgement, metrics: dict[str, float], rivals: Rivals) -> list[Signature]:
    theirs = {name: measured.metrics() for name, measured in judgement.rivals.items()}
    strategy = lineage_of(source).strategy
    siblings = {strategy: metrics[STS_TEST], **rivals.siblings} if rivals.siblings and STS_TEST in metrics else {}
    return find_signatures(Judged(metrics, theirs.get("reference", {}), theirs.get("base", {}), siblings))


def judge(context: Context, source: SavedModel, measures: Measures) -> Measured:
    """What some measures find about one model, without a run."""
    return _ask(source, as_sentence_model(source, context.recipe).to(context.hardware.device), measures)


def _look(context: Context, source: SavedModel, model: SentenceTransformer, exam: Exam, rivals: Rivals) -> tuple[Judgement, Looked]:
    recipe, device = context.recipe, context.hardware.device
    measures = Measures.of(exam, recipe)
    own = _ask(source, model, measures)
    theirs: dict[str, Measured] = {}
    loaded: dict[str, SentenceTransformer] = {}
    for name, rival in rivals.by_name().items():
        loaded[name] = as_sentence_model(rival, recipe).to(device)
        theirs[name] = _ask(rival, loaded[name], measures if name == "reference" else measures.of_pairs())
    base = loaded.get("base")
    if base is not None:
        base.max_seq_length = model.max_seq_length  # the same pieces for both
    sentences = measures.sentences
    pairs = exam.to_look_at().rows
    looked = Looked(
        speed=measure_speed(model, base, sentences),
        flops=measure_flops(model, base, sentences),
        layers=look_at_layers(model, pairs),
        base_layers=look_at_layers(base, pairs) if base is not None else None,
    )
    return Judgement(own, theirs), looked


def _run_mteb(context: Context, run: Run, model: SentenceTransformer) -> Measured:
    """The main scores of MTEB's tasks; all others lie in the run, as mteb writes them."""
    from sbert_prune.evaluation.mteb import run_tasks

    folder = context.workspace / "mteb"
    found = run_tasks(model, context.recipe.mteb, folder)
    for path in sorted(folder.glob("*.json")):
        run.log_text(path.read_text(encoding="utf-8"), f"mteb/{path.name}")
    return found


def _ask(source: SavedModel, model: SentenceTransformer, measures: Measures) -> Measured:
    embedded = embed_once(model, measures.texts(), source.uri, fingerprint=source.checkpoint.fingerprint())
    return measure_all(measures.all, embedded)


@contextmanager
def _ruin_reported(run: Run, source: SavedModel) -> Iterator[None]:
    """Embeddings that are not finite, or all the same, are named in the report of the run that fails."""
    try:
        yield
    except RoundTripError as error:
        log_ruin(run, source, error)
        raise
