"""How a command ends: ten lines for people, and the picture of all variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.report.pictures import scatter
from sbert_prune.store_uri import without_password

if TYPE_CHECKING:
    from sbert_prune.registry import Version
    from sbert_prune.tracking import Run, Store


def draw_variants(run: Run, versions: list[Version]) -> None:
    """Log the scatter of all versions that have a score, a speed and a size."""
    run.log_figure(scatter(versions), "variants.png")


def where_to_see(store: Store) -> str:
    """The experiment's runs in MLflow's UI. Without the last part of the address, MLflow 3.17 opens its GenAI view."""
    page = f"/#/experiments/{store.experiment_id}/runs?workflowType=machine_learning"
    if store.uri.startswith("http"):
        return without_password(store.uri).rstrip("/") + page
    return f"mlflow ui --backend-store-uri {without_password(store.uri)}   then http://127.0.0.1:5000{page}"


def summarise(store: Store, variant: Version, reference: Version) -> list[str]:
    """Quality with its interval, size, speed, and what to do next."""
    tags, metrics, whole = variant.tags, variant.metrics, reference.metrics
    score, low, high = (metrics[f"sts_test/spearman_cosine{end}"] for end in ("", "_low", "_high"))
    # A reference that scores 0 or less is a measure of nothing.
    retention = f"{metrics['quality/retention']:.1%}" if "quality/retention" in metrics else "undefined: share"
    return [
        "",
        f"variant   layers {tags['kept_layers']} of {tags['depth']} ({tags['strategy']}), "
        f"{tags['vocabulary'] + ' pieces, ' if 'vocabulary' in tags else ''}seed {tags['seed']}, {tags['recipe']}",
        f"quality   STS test Spearman {score:.4f} [{low:.4f}, {high:.4f}]; dev {metrics['sts_dev/spearman_cosine']:.4f}",
        f"retention {retention} of the reference ({whole['sts_test/spearman_cosine']:.4f}, version {reference.version})",
        f"size      {metrics['size/parameters'] / 1e6:.2f} M parameters, {metrics['size/disk_mb']:.1f} MB "
        f"({metrics['size/disk_mb'] / whole['size/disk_mb']:.0%} of the reference)",
        f"speed     {metrics['speed/speedup']:.2f}x the base: {metrics['speed/sentences_per_s']:,.0f} sentences/s; "
        f"one sentence {metrics['speed/latency_p50_ms']:.1f} ms p50, {metrics['speed/latency_p95_ms']:.1f} ms p95",
        f"proof     reloaded in a fresh process, embeddings differ by {metrics['roundtrip/max_abs_diff']:.1g}",
        f"model     {variant.uri}",
        f'load      mlflow.sentence_transformers.load_model("{variant.uri}")',
        f"see       {where_to_see(store)}",
        f"promote   mlflow run . -e promote -P registered_model={variant.name} -P version={variant.version} -P stage=Production",
    ]
