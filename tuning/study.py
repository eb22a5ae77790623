"""The Optuna study and the attributes of its trials."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.errors import SearchError
from sbert_prune.system.processes import Process
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.store import alone_in_database
from sbert_prune.tracking.store_uri import own_folder
from sbert_prune.training.batches import digest_of
from tuning.cma_es import CmaEsSampler
from tuning.storage import complete_records, release_dangling_lock, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from tuning.settings import Aim

KEPT_LAYERS, ORIGIN, DIGEST, RUN, VERSION, METRICS = (
    "kept_layers",
    "origin",
    "recipe_digest",
    "run_id",
    "version",
    "metrics",
)
REASON, ANSWERED, STALE, PROCESS, RUNG_SCORES = "reason", "answered", "stale", "process", "looks"
PROBE, CONTROL = "probe", "control"
"""The names of a trial's attributes, stored as Optuna's user attributes.

ORIGIN: What proposed the trial.
ANSWERED: The record that answered it, where it was not trained.
STALE: Set where its process ended without a result, or it gave the trial up before training.
PROCESS: The process that trains it.
DIGEST: Of its recipe: set when the trial is claimed, before it is trained.
RUNG_SCORES: A pair of dev score and seconds of training for each rung.
PROBE: The number of the settings that are tried before all others.
CONTROL: Set where the trial is one that the search is compared with.
"""

RANDOM, SAMPLER, SHARED = "random", "sampler", "shared-weights"
"""What may propose a trial, besides the strategies by their names."""

_UNUSABLE = (SQLAlchemyError, OSError, ImportError, RuntimeError, ValueError)
"""What Optuna raises where a storage cannot be used; a RuntimeError for the tables of another version of Optuna."""

_NEW_TRIAL_S = 60.0
_POLL_S, _MAX_POLLS = 0.05, 200


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, constant_liar=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "cmaes": lambda seed: CmaEsSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


@dataclass(frozen=True)
class StoredTrial:
    """A trial as the study stores it."""

    trial: FrozenTrial

    @property
    def number(self) -> int:
        """Return the trial's number, from 0."""
        return self.trial.number

    def attribute(self, name: str) -> Any:
        """Return an attribute; None where the trial does not have it."""
        return self.trial.user_attrs.get(name)

    @property
    def state(self) -> TrialState:
        """Return Optuna's state."""
        return self.trial.state

    @property
    def is_control(self) -> bool:
        """Return whether the search is compared with this trial."""
        return bool(self.attribute(CONTROL))

    @property
    def counts(self) -> bool:
        """Return whether it makes up the total.

        Trials do that were trained, to their end or until they were stopped or failed, and are no controls.
        """
        not_trained = self.attribute(ANSWERED) or self.attribute(STALE)
        return self.state.is_finished() and not not_trained and not self.is_control and self.attribute(RUN) is not None

    @property
    def is_complete(self) -> bool:
        """Return whether it was trained to its end."""
        return self.state == TrialState.COMPLETE and not self.attribute(ANSWERED)

    @property
    def score(self) -> float:
        """Return the dev score of a complete trial."""
        return float(self.trial.values[0])

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far."""
        return float((self.attribute(METRICS) or {}).get("training/seconds", 0.0))


def study_name(recipe: Recipe, inputs: Inputs, *, space: str, aim: str, device: str) -> str:
    """Return the name of a study: the same recipe, data, space, aim and device resume the same study."""
    same = recipe.keeping("1", "drop-top")
    data = [rows.digest for rows in inputs.splits.values()]
    digest = digest_of(same.digest, inputs.pruning.base.checkpoint.fingerprint(), *data, space, aim, device)
    return f"{recipe.registered_model}-{digest[:12]}".replace(" ", "-")


def journal_of(name: str) -> Path:
    """Return the file that stores the study of this name where no database is given."""
    return own_folder() / "search" / f"{name}.journal"


def study_exists(name: str, storage: str | None) -> bool:
    """Return whether there is such a study. Raises SearchError for a database that does not answer."""
    if storage is None:
        return journal_of(name).is_file()
    try:
        return name in optuna.get_all_study_names(_storage(storage, name))
    except _UNUSABLE as error:
        raise unusable(storage or str(journal_of(name)), error) from error


def stored_trials(study: Study) -> list[StoredTrial]:
    """Return all trials, by number."""
    return [StoredTrial(trial) for trial in study.get_trials(deepcopy=False)]


def open_study(name: str, storage: str | None, aim: Aim, sampler: str, seed: int) -> Study:
    """Open or create the study of this name.

    The sampler gets a new seed each time, or it would repeat its proposals.

    Args:
        name: Name of the study.
        storage: URL of a database; None keeps a journal beside the tracking store.
        aim: Its directions and metric names become the study's.
        sampler: A name in SAMPLERS.
        seed: Added to the number of stored trials to seed the sampler.

    Raises:
        SearchError: The storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import warnings

    warnings.simplefilter("ignore", ExperimentalWarning)  # multivariate TPE, in every release since 2.2
    try:
        study = optuna.create_study(
            study_name=name, storage=_storage(storage, name), directions=list(aim.directions), load_if_exists=True
        )
        count = len(study.get_trials(deepcopy=False))
        study.sampler = SAMPLERS[sampler](seed + count)
        if count == 0:
            study.set_metric_names(list(aim.metrics))
    except SearchError:
        raise
    except _UNUSABLE as error:
        raise unusable(storage or str(journal_of(name)), error) from error
    return study


def _storage(url: str | None, name: str) -> BaseStorage:
    if url is not None:
        with alone_in_database(url):  # two commands that start on a fresh database would both create its tables
            return optuna.storages.RDBStorage(url)
    path = journal_of(name).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    release_dangling_lock(path)
    if path.exists() and complete_records(path) != path.read_bytes():
        _drop_incomplete(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _drop_incomplete(journal: Path) -> None:
    """Write a journal again without records that were cut off, while no other process appends one."""
    lock, mended = JournalFileSymlinkLock(str(journal)), journal.with_name(f"{journal.name}.mended")
    lock.acquire()
    try:
        with mended.open("wb") as file:
            file.write(complete_records(journal))
            file.flush()
            os.fsync(file.fileno())
        mended.replace(journal)
    finally:
        lock.release()


def where_dashboard(name: str, storage: str | None) -> str:
    """Return the line that says how to open the study in Optuna's dashboard."""
    location = masked_uri(storage) if storage is not None else journal_of(name)
    return f"dashboard pip install optuna-dashboard; optuna-dashboard {location}   (a trial's layers: {KEPT_LAYERS})"


def close_stale(study: Study, is_running: Callable[[str], bool]) -> list[StoredTrial]:
    """Fail the trials whose process has ended, and queue the same ones again.

    They do not count. The record of the run decides whether a process is still at work, on whichever machine.

    Args:
        study: The study.
        is_running: Returns whether the run of this id is open.

    Returns:
        The trials that were closed.
    """
    stale = [
        trial for trial in stored_trials(study) if trial.state == TrialState.RUNNING and _is_stale(trial, is_running)
    ]
    for trial in stale:
        fail_and_requeue(study, trial)
    return stale


def _is_stale(trial: StoredTrial, is_running: Callable[[str], bool]) -> bool:
    if (run_id := trial.attribute(RUN)) is not None:
        return not is_running(run_id)
    process = Process.parse(trial.attribute(PROCESS) or "")
    if process is not None and process.is_running is not None:
        return not process.is_running
    started = trial.trial.datetime_start or datetime.min
    return time.time() - started.timestamp() > _NEW_TRIAL_S


def fail_and_requeue(study: Study, trial: StoredTrial) -> None:
    """Fail a trial whose process has ended, and queue the same one again."""
    attributes = {key: value for key, value in trial.trial.user_attrs.items() if key in {ORIGIN, CONTROL}}
    try:
        # Private: Optuna 5 has no public way to set an attribute of a trial that another process asked for. A storage
        # finds a trial's id by its number, but a study makes neither its storage nor its own id public.
        optuna.Trial(study, trial.trial._trial_id).set_user_attr(STALE, "its process ended without a word")
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return  # another command has just done the same
    study.enqueue_trial(trial.trial.params, user_attrs=attributes)


def exceeds(study: Study, number: int, total: int) -> bool:
    """Return whether a trial that was just asked for is one too many: several commands may ask at once.

    Numbers decide, and Optuna gives each once and in order: a trial yields to those before it, trained or in training,
    and to those after it that were trained. So of two commands that ask for the last trial, one gets it.
    """
    others = [trial for trial in stored_trials(study) if trial.number != number]
    before = [trial for trial in others if trial.number < number]
    in_training = [trial for trial in before if trial.state == TrialState.RUNNING and not trial.is_control]
    return sum(trial.counts for trial in others) + len(in_training) >= total


def give_up(study: Study, trial: Trial) -> None:
    """End a trial that is one too many: it is not trained, does not count, and is not tried again."""
    trial.set_user_attr(STALE, "another command has asked for the last trial")
    study.tell(trial, state=TrialState.FAIL)


def wait_for_claims(study: Study, number: int) -> None:
    """Wait until all earlier trials in training have a digest, so that of two the same, the later one finds the other.

    A trial has none for as long as its command takes to choose the settings. One whose process has ended, or that takes
    longer than ten seconds, is not waited for.
    """
    for _ in range(_MAX_POLLS):
        if not any(_is_choosing(trial) for trial in stored_trials(study) if trial.number < number):
            return
        time.sleep(_POLL_S)


def _is_choosing(trial: StoredTrial) -> bool:
    if trial.state != TrialState.RUNNING or trial.attribute(DIGEST) is not None:
        return False
    process = Process.parse(trial.attribute(PROCESS) or "")
    return process is None or process.is_running is not False


def earlier_trial(study: Study, digest: str, before: int) -> StoredTrial | None:
    """Return the first trial of the same recipe that was trained or is in training.

    Args:
        study: The study.
        digest: Digest of the recipe.
        before: Only trials with a lower number are considered.
    """
    for trial in stored_trials(study):
        is_same = trial.number < before and trial.attribute(DIGEST) == digest
        if is_same and not trial.attribute(ANSWERED) and not trial.attribute(STALE):
            return trial
    return None


def enqueue(study: Study, origin: str, params: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
    """Queue a point that is tried before the sampler proposes any.

    Args:
        study: The study.
        origin: What proposes the point.
        params: Optuna's parameters; the sampler chooses those that are missing.
        attributes: Further attributes of the trial.
    """
    study.enqueue_trial(dict(params), user_attrs={ORIGIN: origin, **(attributes or {})})
