"""The steps behind healing: each opens a run, calls the library, logs, and returns what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.steps.records import as_sentence_model, headlines, lineage_tags, logged_id, refuse_non_finite
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.models.lineage import Lineage
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import PROBES, embed, save_sentence_model
from sbert_prune.registry import version as seal
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import REFERENCE, VARIANT, Version
from sbert_prune.tracking.logged_models import add_file, delete_model, fetch_files, fetch_model, has_bytes, log_model
from sbert_prune.tracking.store import TAG, finished_runs, read_artifact

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe

_PAIRS = ("sts_dev_digest", "sts_test_digest")


@dataclass(frozen=True)
class Judged:
    """What an `evaluate` found about a model. tags: which run, on which pairs.  dev_pairs: what the model says of each, as text."""

    metrics: dict[str, float]
    tags: dict[str, str]
    dev_pairs: str | None


def find_judged(context: Context, source: SavedModel, like: Mapping[str, str]) -> Judged | None:
    """The newest judgement of this very model; where a version's tags are given, on the pairs that it was registered by."""
    for run in finished_runs(context.store, "fingerprint", source.checkpoint.fingerprint()):
        tags = {key.removeprefix(TAG): value for key, value in run.data.tags.items()}
        pairs = {key: tags[key] for key in _PAIRS if key in tags}
        if tags.get("step") == "evaluate" and all(pairs.get(key) == like[key] for key in _PAIRS if key in like):
            said = read_artifact(context.store, tags.get("reused_from", run.info.run_id), FILE_NAME)
            judged_by = {"evaluate_run_id": run.info.run_id}
            return Judged(headlines(run.data.metrics), pairs | judged_by, said.decode() if said is not None else None)
    return None


def register_once(context: Context, recipe: Recipe, source: SavedModel, tags: Mapping[str, str]) -> Version:
    """A version that holds the very same model is judged by the newest judgement on its pairs; else a new one is made."""
    name, fingerprint = recipe.registered_model, source.checkpoint.fingerprint()
    found = None if context.force else registry.find_tagged(context.store, name, "fingerprint", fingerprint)
    if found is not None and not has_bytes(context.store, found.tags.get("model_id", "")):
        echo(f"version {found.version} of {name} is the very same model, but its bytes are gone: a new version is made")
        found = None
    if found is None:
        judged = find_judged(context, source, {}) or Judged({}, {}, None)
        return register(context, recipe, source, judged.metrics, {**tags, **judged.tags}, dev_pairs=judged.dev_pairs)
    again = find_judged(context, source, found.tags)
    if again is None:
        echo(
            f"version {found.version} of {name} is the very same model, not judged on its pairs since (force=true makes a new version)"
        )
        return found
    echo(
        f"version {found.version} of {name} is the very same model: its metrics are brought up to date (force=true makes a new version)"
    )
    sealed = {}
    if again.dev_pairs is not None:
        add_file(context.store, found.tags["model_id"], FILE_NAME, again.dev_pairs)
        sealed = {seal.DEV_PAIRS: seal.digest_of_text(again.dev_pairs)}
    return registry.update(context.store, found, again.metrics, again.tags | sealed)


def register(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    *,
    dev_pairs: str | None = None,
) -> Version:
    """Log the model, prove in a fresh process that it comes back as it was, and make it a version with its lineage.

    dev_pairs: what it says of them, to be kept beside it.

    Raises RoundTripError, and registers nothing, when it does not.
    """
    name = recipe.registered_model
    lineage = lineage_of(source)
    described = lineage_tags(lineage)
    fingerprint = source.checkpoint.fingerprint()
    with context.step("register", described | {"fingerprint": fingerprint}, recipe, reads=("registered_model",)) as run:
        model = as_sentence_model(source, recipe)
        given = logged_id(source)
        logged = given or log_model(run, name, model, _with_lineage(context, source, model, lineage), described)
        try:
            if dev_pairs is not None:
                add_file(context.store, logged, FILE_NAME, dev_pairs)
            reloaded = reload_in_fresh_process(fetch_model(f"models:/{logged}"), embed(model, PROBES))
            files = seal.digest_of_files(fetch_files(f"models:/{logged}"))
        except BaseException:
            if given is None:
                delete_model(context.store, logged)  # ours, and of no use; what the user gave stays
            raise
        final = {**metrics, **reloaded.metrics()}
        run.log_metrics(final, model_id=logged)
        extra = {
            "model_id": logged,
            "model_sha256": source.checkpoint.sha256(),
            "fingerprint": fingerprint,
            seal.FILES: files,
            **({seal.DEV_PAIRS: seal.digest_of_text(dev_pairs)} if dev_pairs is not None else {}),
            "run_id": run.run_id,
            "parent_run_id": context.parent.run_id if context.parent else run.run_id,
        }
        refuse_non_finite(final)
        role = VARIANT if lineage.selection.dropped or lineage.trim else REFERENCE
        draft = Version(name, "", run.run_id, "None", described | extra | {"role": role} | dict(tags), final)
        return registry.register(context.store, draft, logged)


def _with_lineage(context: Context, source: SavedModel, model: SentenceTransformer, lineage: Lineage) -> Path:
    """A stranger's folder has no `pruning.json`: what is registered has one."""
    if (source.folder / LINEAGE).is_file():
        return source.folder
    folder = context.workspace / "given"
    save_sentence_model(model, folder, lineage)
    return folder
