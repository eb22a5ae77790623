"""The lines that a command prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.console import report_facts
from sbert_prune.evaluation.bootstrap import MARGIN
from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.report.tables import with_interval
from sbert_prune.system.table import aligned
from sbert_prune.tracking.secrets import masked_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.steps.judgement_log import Verdict
    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


def where_to_see(store: Store) -> str:
    """Return where the experiment's runs are in MLflow's UI."""
    return _address(store, "runs")


def where_report(store: Store, run_id: str) -> str:
    """Return a line with the page of a run in MLflow's UI, which has its report and pictures."""
    address = _address(store, f"runs/{run_id}/artifacts")
    report_facts(run_id=run_id, report=address)
    return f"report    {address}"


def facts_of(version: Version) -> dict[str, object]:
    """Return what a version is, as values."""
    tags = ("role", "recipe", "kept_layers", "depth", "strategy", "vocabulary", "seed", "parent_run_id")
    known = {name: version.tags[name] for name in tags if name in version.tags}
    return {"model": version.uri, "run_id": version.run_id, **known, "metrics": version.metrics}


def _address(store: Store, page: str) -> str:
    """Return the address of a page; without its query, MLflow 3.17 opens the view of GenAI."""
    uri, path = masked_uri(store.uri), f"/#/experiments/{store.experiment_id}/{page}?workflowType=machine_learning"
    if uri.startswith("http"):
        return uri.rstrip("/") + path
    return f"mlflow ui --backend-store-uri {uri}   then http://127.0.0.1:5000{path}"


def judgement_lines(verdict: Verdict) -> list[str]:
    """Return the results for one model as lines: scores with intervals, and differences to its rivals."""
    judgement, metrics = verdict.judgement, verdict.metrics
    scores = judgement.measured.scores
    rows = [(name, with_interval(score)) for name, score in sorted(scores.items())]
    rows += [(name, f"{value:,.4f}") for name, value in sorted(metrics.items()) if _is_plain(name, scores)]
    rows += [(RETENTION, f"{_retention(metrics)} of the reference")] if RETENTION in metrics else []
    differences = [line for rival in judgement.rivals for line in _difference(metrics, rival)]
    return ["", *aligned(rows), *differences, *(f"note      {note}" for note in judgement.measured.notes)]


def metric_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return metrics as lines, with their logged names."""
    return ["", *aligned((name, f"{value:,.4f}") for name, value in sorted(metrics.items()))]


def _is_plain(name: str, scores: Mapping[str, Score]) -> bool:
    """Return whether a metric is neither a score or the end of its interval, nor printed in words."""
    ends = name.removesuffix("_low").removesuffix("_high")
    return ends not in scores and not name.startswith(("difference/", "quality/"))


def _difference(metrics: Mapping[str, float], rival: str) -> list[str]:
    """Return the line that compares a model with a rival on the test pairs; none if they were not compared."""
    name = f"difference/{rival}"
    if name not in metrics:
        return []
    low, high, worse = (metrics[f"{name}_{end}"] for end in ("low", "high", "p_worse"))
    return [
        f"against   the {rival}: {metrics[name]:+.4f} [{low:+.4f}, {high:+.4f}]; "
        f"worse by more than {MARGIN:g} with probability {worse:.3f}"
    ]


def _risk(metrics: Mapping[str, float]) -> str:
    worse = metrics.get("difference/reference_p_worse")
    return "" if worse is None else f"; worse by more than {MARGIN:g} with probability {worse:.3f}"


def _retention(metrics: Mapping[str, float]) -> str:
    # There is no share of a reference that scores 0 or less.
    if RETENTION not in metrics:
        return "undefined: share"
    value, low, high = (metrics.get(f"{RETENTION}{end}") for end in ("", "_low", "_high"))
    return f"{value:.1%}" if low is None else f"{value:.1%} [{low:.1%}, {high:.1%}]"


def summarise(store: Store, variant: Version, reference: Version) -> list[str]:
    """Return what a variant is, in lines: quality with its interval, size, speed, and how to load it."""
    tags, metrics, whole = variant.tags, variant.metrics, reference.metrics
    report_facts(variant=facts_of(variant), reference=facts_of(reference), see=where_to_see(store))
    quality, retention = "STS test has no scores", "is measured on test, which has no scores"
    if STS_TEST in metrics:
        score, low, high = (metrics[f"{STS_TEST}{end}"] for end in ("", "_low", "_high"))
        quality = f"STS test Spearman {score:.4f} [{low:.4f}, {high:.4f}]"
        of_reference = f"of the reference ({whole[STS_TEST]:.4f}, version {reference.version})"
        retention = f"{_retention(metrics)} {of_reference}{_risk(metrics)}"
    return [
        "",
        f"variant   layers {tags['kept_layers']} of {tags['depth']} ({tags['strategy']}), "
        f"{tags['vocabulary'] + ' pieces, ' if 'vocabulary' in tags else ''}seed {tags['seed']}, {tags['recipe']}",
        f"quality   {quality}; dev {metrics[STS_DEV]:.4f}",
        f"retention {retention}",
        f"size      {metrics['size/parameters'] / 1e6:.2f} M parameters, {metrics['size/disk_mb']:.1f} MB "
        f"({metrics['size/disk_mb'] / whole['size/disk_mb']:.0%} of the reference)",
        f"speed     {metrics['speed/speedup']:.2f}x the base: {metrics['speed/sentences_per_s']:,.0f} sentences/s; "
        f"one sentence {metrics['speed/latency_p50_ms']:.1f} ms p50, {metrics['speed/latency_p95_ms']:.1f} ms p95",
        f"proof     reloaded in a fresh process ({metrics['memory/peak_mb']:,.0f} MB), embeddings differ by "
        f"{metrics['roundtrip/max_abs_diff']:.1g}",
        f"model     {variant.uri}",
        f'load      mlflow.sentence_transformers.load_model("{variant.uri}")',
        f"see       {where_to_see(store)}",
    ]
