"""What all steps of one command share: the store, the hardware and a folder to work in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.console import echo, exit_if_interrupted, report_unrecorded, warn_if_busy
from pipelines.steps.checkpointing import Unfinished
from sbert_prune.errors import TrackingError, UnrecordedError
from sbert_prune.report.descriptions import describe
from sbert_prune.tracking.orphans import close_orphans
from sbert_prune.tracking.runs import Run, open_run
from sbert_prune.tracking.store import Store, connect
from sbert_prune.tracking.store_uri import own_folder
from sbert_prune.training.device import Hardware, choose_hardware

if TYPE_CHECKING:
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.spool import Outbox


@dataclass(frozen=True)
class Context:
    """parent: the run under which steps open theirs; None when the command is a single step.

    unfinished: checkpoints and results of steps, until the command has done its work.
    force: whether steps are done again that were done before.  keep: whether the models between the steps are logged as well.
    """

    store: Store
    hardware: Hardware
    workspace: Path
    unfinished: Unfinished
    parent: Run | None = None
    force: bool = False
    keep: bool = False

    @contextmanager
    def step(self, name: str, tags: Mapping[str, str], recipe: Recipe, *, reads: tuple[str, ...]) -> Iterator[Run]:
        """Open the run of one step. reads: the settings that it depends on, by name or group ("nli."); they become parameters."""
        exit_if_interrupted()
        echo(f"step {name}")
        settings = {f"recipe.{key}": value for key, value in recipe.flat().items() if key.startswith(reads)}
        with open_run(self.store, name, {"step": name, "seed": str(recipe.seed), **tags}, parent=self.parent) as run:
            run.log_params(settings)
            yield run

    def making(self, variant: str) -> Context:
        """The same for the steps of one variant, named by its key."""
        return replace(self, unfinished=self.unfinished.of(variant))

    @contextmanager
    def under(self, name: str, tags: Mapping[str, str], recipe: Recipe) -> Iterator[tuple[Context, Run]]:
        """Open a run that holds other steps, and give the context for them."""
        with (
            open_run(self.store, name, _tags(recipe) | dict(tags), parent=self.parent) as run,
            TemporaryDirectory() as folder,
        ):
            flat = recipe.flat() | {key: tags[key] for key in ("seed",) if key in tags}
            run.log_params({f"recipe.{key}": value for key, value in flat.items()})
            run.log_json(recipe.model_dump(mode="json"), "recipe.json")
            yield replace(self, parent=run, workspace=Path(folder)), run


def _tags(recipe: Recipe) -> dict[str, str]:
    return {
        "step": "full",
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "base": recipe.base_model,
        "strategy": recipe.strategy,
        "seed": str(recipe.seed),
    }


@contextmanager
def open_context(device: str, precision: str, *, force: bool = False, keep: bool = False) -> Iterator[Context]:
    """Open the store, resolve the hardware, and lend a folder that goes when the command ends."""
    warn_if_busy()
    hardware = choose_hardware(device, precision)
    unfinished = Unfinished(own_folder() / "unfinished")
    with open_store() as store:
        try:
            with TemporaryDirectory(prefix="sbert-prune-") as folder:
                yield Context(store, hardware, Path(folder), unfinished, force=force, keep=keep)
            unfinished.clear()
        except TrackingError as error:
            if unfinished.has_results:
                kept = f"What was made so far is kept in {unfinished.folder}: the same command goes on from there."
                raise UnrecordedError(f"{error} {kept}") from error
            raise
        finally:
            unfinished.release()


@contextmanager
def open_store() -> Iterator[Store]:
    """Connect to the store.

    What an earlier command could not record is delivered first, and what this one could not, last; what killed ones have left is closed.
    """
    store = connect(notify=echo)
    deliver_inherited(store.outbox)
    close_dead_runs(store)
    try:
        yield store
    finally:
        settle(store.outbox)


def close_dead_runs(store: Store) -> None:
    """Close what killed commands have left open, and say so."""
    left = close_orphans(store)
    if left.runs:
        echo(f"closed as KILLED, as their process has ended without a word: {', '.join(left.runs)}")
    if left.models:
        echo(f"deleted, as a killed command could not register it: {', '.join(left.models)}")
    for model_id, reason in left.spared.items():
        echo(f"left alone, though a killed command could not register it, {reason}: {model_id}")


def describe_all(store: Store, name: str) -> None:
    """Bring the descriptions in MLflow's pages up to date; a page that is not costs nothing but a line."""
    try:
        describe(store, name)
    except TrackingError as error:
        echo(str(error))


def deliver_inherited(outbox: Outbox) -> None:
    """Deliver what earlier commands left for this store, and say so."""
    outbox.deliver()
    inherited = outbox.inherited
    if inherited.late:
        echo(f"{_entries(inherited.late)} that an earlier command could not record: delivered now")
    if inherited.refused:
        echo(
            f"{_entries(len(inherited.refused))} of an earlier command dropped, as the store will never take them: {inherited.refused[0]}"
        )


def settle(outbox: Outbox) -> None:
    """Deliver what this command could not record so far; what stays undelivered makes its exit status 3."""
    (kept, lost), mine = outbox.close(), outbox.mine
    if mine.failures and not kept and not lost:
        echo(
            f"the tracking store failed for a while: {_entries(mine.late)} kept, and delivered since (asked in vain: {mine.failures})"
        )
    if mine.refused:
        report_unrecorded(
            f"{_entries(len(mine.refused))} not recorded, as the store will never take them: {mine.refused[0]}"
        )
    if kept:
        report_unrecorded(
            f"{_entries(kept)} not recorded yet: they lie in {outbox.spool.folder}, and the next command here delivers them"
        )
    if lost:
        report_unrecorded(f"{_entries(lost)} lost: neither the tracking store nor {outbox.spool.folder} took them")


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"
