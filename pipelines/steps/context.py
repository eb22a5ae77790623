"""The context of a command: the store, the hardware and the folders that its steps share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.console import echo, exit_if_interrupted, report_unrecorded, warn_if_busy
from pipelines.progress import begin_step
from pipelines.steps.checkpointing import Unfinished
from sbert_prune.errors import TrackingError, UnrecordedError
from sbert_prune.report.descriptions import describe
from sbert_prune.tracking.experiment import DEFAULT
from sbert_prune.tracking.orphans import close_orphans
from sbert_prune.tracking.reach import check_artifacts
from sbert_prune.tracking.runs import Run, open_run
from sbert_prune.tracking.store import Store, connect
from sbert_prune.tracking.store_uri import own_folder
from sbert_prune.tracking.twins import discard_twins
from sbert_prune.training.device import Hardware, choose_hardware

if TYPE_CHECKING:
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.spool import Outbox


@dataclass(frozen=True)
class Context:
    """What all steps of a command share; it does not change while the command runs.

    Attributes:
        store: The tracking store.
        hardware: The device and the precision.
        workspace: A temporary folder, deleted when the command ends.
        unfinished: Checkpoints and results of steps, kept until the command succeeds.
        parent: The run under which steps open theirs; None for a command of a single step.
        force: Whether steps run again although they have a result.
        keep_intermediate: Whether the models between the steps are logged as well.
    """

    store: Store
    hardware: Hardware
    workspace: Path
    unfinished: Unfinished
    parent: Run | None = None
    force: bool = False
    keep_intermediate: bool = False

    @contextmanager
    def step(self, name: str, tags: Mapping[str, str], recipe: Recipe, *, reads: tuple[str, ...]) -> Iterator[Run]:
        """Open the run of one step.

        Args:
            name: The step, such as "prune".
            tags: Tags of the run, in addition to step and seed.
            recipe: The recipe of the step.
            reads: The settings that the step depends on, by name or group ("nli."); they are logged as parameters.
        """
        exit_if_interrupted()
        echo(f"step {name}")
        begin_step(name)
        settings = {f"recipe.{key}": value for key, value in recipe.flat().items() if key.startswith(reads)}
        run_tags = {"step": name, "seed": str(recipe.seed), **tags}
        with open_run(self.store, name, run_tags, parent=self.parent) as run:
            run.log_params(settings)
            yield run
        begin_step("")

    def claim(self, key: str) -> None:
        """Wait until no other command makes the same variant; close the runs of one that was killed meanwhile."""
        if self.unfinished.claim(key, notify=echo):
            tidy_up(self.store)

    def for_variant(self, key: str) -> Context:
        """Return the context for the steps of one variant, which is named by its key."""
        return replace(self, unfinished=self.unfinished.for_variant(key))

    @contextmanager
    def under(self, name: str, tags: Mapping[str, str], recipe: Recipe) -> Iterator[tuple[Context, Run]]:
        """Open a parent run for other steps, and yield their context together with the run."""
        with (
            open_run(self.store, name, _recipe_tags(recipe) | dict(tags), parent=self.parent) as run,
            TemporaryDirectory() as folder,
        ):
            settings = recipe.flat() | {key: tags[key] for key in ("seed",) if key in tags}
            run.log_params({f"recipe.{key}": value for key, value in settings.items()})
            run.log_json(recipe.model_dump(mode="json"), "recipe.json")
            run.describe(f"{recipe.about or 'A recipe of your own'} ({recipe.name}, base {recipe.base_model})")
            yield replace(self, parent=run, workspace=Path(folder)), run


def _recipe_tags(recipe: Recipe) -> dict[str, str]:
    return {
        "step": "full",
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "base": recipe.base_model,
        "strategy": recipe.strategy,
        "seed": str(recipe.seed),
    }


@contextmanager
def open_context(recipe: Recipe, *, force: bool = False, keep_intermediate: bool = False) -> Iterator[Context]:
    """Open the store, choose the hardware, and yield a context with a temporary folder.

    Args:
        recipe: Names the experiment, the device and the precision.
        force: Whether steps run again although they have a result.
        keep_intermediate: Whether the models between the steps are logged as well.

    Raises:
        UnrecordedError: The store failed after some steps had finished; their results are kept.
    """
    warn_if_busy()
    hardware = choose_hardware(recipe.device, recipe.precision)
    unfinished = Unfinished(own_folder() / "unfinished")
    with open_store(records=True, experiment=recipe.name) as store:
        try:
            with TemporaryDirectory(prefix="sbert-prune-") as folder:
                yield Context(
                    store, hardware, Path(folder), unfinished, force=force, keep_intermediate=keep_intermediate
                )
            unfinished.clear()
        except TrackingError as error:
            if unfinished.has_results:
                advice = f"The results so far are kept in {unfinished.folder}: run the same command again to continue."
                raise UnrecordedError(f"{error} {advice}") from error
            raise
        finally:
            unfinished.release()


@contextmanager
def open_store(
    *, records: bool = False, artifacts: bool = True, writes: bool = True, experiment: str = DEFAULT
) -> Iterator[Store]:
    """Connect to the store; deliver at the start what an earlier command could not record, and at the end the rest.

    Runs that killed commands left open are closed.

    Args:
        records: Refuse a store in which no run can be recorded, or no artifact stored.
        artifacts: Whether the command reads or writes artifacts, so that it cannot work without them.
        writes: Whether the command cannot work without writing to the store.
        experiment: The name of the experiment, unless the environment chooses another.

    Raises:
        TrackingError: The store does not answer, or it refuses runs.
    """
    store = connect(notify=echo, writes=writes, experiment=experiment)
    if store.problem is not None and records:
        raise TrackingError(str(store.problem))
    if artifacts and store.problem is None:
        check_artifacts(store.client, store.uri, store.experiment_id, writes=records)
    if store.problem is None:  # of a deleted experiment, the store would reject the entries that wait for its runs
        tidy_up(store)
    try:
        yield store
    finally:
        discard_what_was_made_twice(store)
        deliver_remaining(store.outbox)


def discard_what_was_made_twice(store: Store) -> None:
    """Delete what the server made twice for this command; an error is printed and changes nothing else."""
    try:
        discard_twins(store)
    except TrackingError as error:
        echo(f"{error} The next command here closes it.")


def tidy_up(store: Store) -> None:
    """Deliver what commands that have ended could not record, and then close the runs that killed ones left open.

    In this order, or a run that ended well, but whose end is queued, would be closed as KILLED.
    """
    deliver_inherited(store.outbox)
    left = close_orphans(store)
    if left.runs:
        echo(f"closed as KILLED, because their process ended without closing them: {', '.join(left.runs)}")
    if left.models:
        echo(f"deleted, because a killed or failed command left them unregistered: {', '.join(left.models)}")
    for model_id, reason in left.skipped.items():
        echo(f"kept, although a killed or failed command left it unregistered, {reason}: {model_id}")


def describe_all(store: Store, name: str, listed: Sequence[Version] | None = None) -> None:
    """Update the descriptions in MLflow's pages; an error is printed and changes nothing else."""
    try:
        describe(store, name, listed)
    except TrackingError as error:
        echo(str(error))


def deliver_inherited(outbox: Outbox) -> None:
    """Deliver the entries that earlier commands left for this store, and print how many."""
    inherited = outbox.inherited
    late_before, refused_before = inherited.late, len(inherited.refused)
    outbox.deliver()
    if late := inherited.late - late_before:
        echo(f"{_entries(late)} that an earlier command could not record: delivered now")
    if refused := inherited.refused[refused_before:]:
        dropped = _entries(len(refused))
        echo(f"{dropped} of an earlier command dropped, because the store rejects them: {refused[0]}")


def deliver_remaining(outbox: Outbox) -> None:
    """Deliver the entries that this command could not record so far; undelivered ones make its exit status 3."""
    (kept, lost), mine = outbox.close(), outbox.mine
    folder = outbox.spool.folder
    if mine.failures and not kept and not lost:
        late = f"{_entries(mine.late)} kept, and delivered since (failed requests: {mine.failures})"
        echo(f"the tracking store failed for a while: {late}")
    if mine.refused:
        refused = _entries(len(mine.refused))
        report_unrecorded(f"{refused} not recorded, because the store rejects them: {mine.refused[0]}")
    if kept:
        report_unrecorded(
            f"{_entries(kept)} not recorded yet: they are in {folder}, and the next command here delivers them"
        )
    if lost:
        report_unrecorded(f"{_entries(lost)} lost: neither the tracking store nor {folder} accepted them")


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"
