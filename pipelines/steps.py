"""The steps behind healing: each opens a run, calls the library, logs, and returns what was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.console import say
from pipelines.records import headlines, lineage_tags, logged_id, refuse_non_finite
from pipelines.saving import as_sentence_model
from sbert_prune import registry
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.fresh_process import reload_in_fresh_process
from sbert_prune.lineage import FILE_NAME as LINEAGE
from sbert_prune.lineage import Lineage
from sbert_prune.models import add_file, delete_model, fetch_model, log_model
from sbert_prune.saved_model import SavedModel, lineage_of
from sbert_prune.sentence import PROBES, embed, save_sentence_model

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from pipelines.context import Context


def logged_metrics(context: Context, source: SavedModel) -> dict[str, float]:
    """The metrics that were logged for a logged model; none for a folder."""
    model_id = logged_id(source)
    found = context.store.client.get_logged_model(model_id).metrics if model_id else None
    return headlines({metric.key: metric.value for metric in found or []})


def register_once(context: Context, source: SavedModel, metrics: Mapping[str, float], tags: Mapping[str, str]) -> registry.Version:
    """A version that holds the very same model gets the metrics that were logged since; else a new one is made."""
    name, fingerprint = context.recipe.registered_model, source.checkpoint.fingerprint()
    found = None if context.force else registry.find_tagged(context.store, name, "fingerprint", fingerprint)
    if found is None:
        return register(context, source, metrics, tags)
    say(f"version {found.version} of {name} is the very same model: its metrics are brought up to date (force=true makes a new version)")
    return registry.update(context.store, found, metrics, {})


def register(
    context: Context, source: SavedModel, metrics: Mapping[str, float], tags: Mapping[str, str], *, dev_pairs: str | None = None
) -> registry.Version:
    """Log the model, prove in a fresh process that it comes back as it was, and make it a version with its lineage.

    dev_pairs: what it says of them, to be kept beside it.

    Raises RoundTripError, and registers nothing, when it does not.
    """
    name = context.recipe.registered_model
    lineage = lineage_of(source)
    described = lineage_tags(lineage)
    with context.step("register", described, reads=("registered_model",)) as run:
        model = as_sentence_model(source, context.recipe)
        given = logged_id(source)
        logged = given or log_model(run, name, model, _with_lineage(context, source, model, lineage), described)
        try:
            if dev_pairs is not None:
                add_file(context.store, logged, FILE_NAME, dev_pairs)
            reloaded = reload_in_fresh_process(fetch_model(f"models:/{logged}"), embed(model, PROBES))
        except BaseException:
            if given is None:
                delete_model(context.store, logged)  # ours, and of no use; what the user gave stays
            raise
        final = {**metrics, **reloaded.metrics()}
        run.log_metrics(final, model_id=logged)
        extra = {
            "model_id": logged,
            "model_sha256": source.checkpoint.sha256(),
            "fingerprint": source.checkpoint.fingerprint(),
            "run_id": run.run_id,
            "parent_run_id": context.parent.run_id if context.parent else run.run_id,
        }
        refuse_non_finite(final)
        role = registry.VARIANT if lineage.selection.dropped or lineage.trim else registry.REFERENCE
        draft = registry.Version(name, "", run.run_id, "None", described | extra | {"role": role} | dict(tags), final)
        return registry.register(context.store, draft, logged)


def _with_lineage(context: Context, source: SavedModel, model: SentenceTransformer, lineage: Lineage) -> Path:
    """A stranger's folder has no `pruning.json`: what is registered has one."""
    if (source.folder / LINEAGE).is_file():
        return source.folder
    folder = context.workspace / "given"
    save_sentence_model(model, folder, lineage)
    return folder
