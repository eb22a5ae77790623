"""The study: opened where the last command left it, with what each of its trials says of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.errors import SearchError
from sbert_prune.system.processes import Process
from sbert_prune.tracking.delivery import first_line
from sbert_prune.tracking.store import alone_in_database
from sbert_prune.tracking.store_uri import own_folder, tracking_uri, without_password
from sbert_prune.training.batches import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from tuning.settings import Aim

KEPT, ORIGIN, DIGEST, RUN, VERSION, METRICS = "kept_layers", "origin", "recipe_digest", "run_id", "version", "metrics"
REASON, ANSWERED, STALE, PROCESS, LOOKS = "reason", "answered", "stale", "process", "looks"
PROBE, CONTROL = "probe", "control"
"""What a trial says of itself, as Optuna's user attributes.

origin: who proposed it.  answered: by which record, where it was not trained.  stale: whether its process ended without a word.
probe: the number of the settings that are tried before all else.  control: whether the search is measured by it.
"""

RANDOM, SAMPLER, SHARED = "random", "sampler", "shared-weights"
"""Who may propose a trial, besides the strategies by their names."""

_JUST_ASKED_S = 60.0


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
class Held:
    """A trial as the study holds it."""

    trial: FrozenTrial

    @property
    def number(self) -> int:
        """From 0."""
        return self.trial.number

    def say(self, name: str) -> Any:
        """What it says of itself under a name; None where it says nothing."""
        return self.trial.user_attrs.get(name)

    @property
    def state(self) -> TrialState:
        """Optuna's."""
        return self.trial.state

    @property
    def is_control(self) -> bool:
        """Whether it was trained for the search to be measured by."""
        return bool(self.say(CONTROL))

    @property
    def counts(self) -> bool:
        """Whether it was trained, to an end or until it was stopped or failed, and is no control: such trials make up the total."""
        answered = self.say(ANSWERED) or self.say(STALE)
        return self.state.is_finished() and not answered and not self.is_control and self.say(RUN) is not None

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.state == TrialState.COMPLETE and not self.say(ANSWERED)

    @property
    def score(self) -> float:
        """Of dev, of a complete trial."""
        return float(self.trial.values[0])

    @property
    def seconds(self) -> float:
        """Of training, as far as it went."""
        return float((self.say(METRICS) or {}).get("training/seconds", 0.0))


def study_name(recipe: Recipe, inputs: Inputs, more: Sequence[str]) -> str:
    """Names a search: the same recipe, data and space go on with the same study. more: what else tells one search from another."""
    same = recipe.keeping("1", "drop-top")
    data = [rows.digest for rows in inputs.splits.values()]
    digest = digest_of(same.digest, inputs.pruning.base.checkpoint.fingerprint(), *data, *more)
    return f"{recipe.registered_model}-{digest[:12]}".replace(" ", "-")


def journal_of(name: str) -> Path:
    """Where the study of this name is kept, if no database is given."""
    return own_folder() / "search" / f"{name}.journal"


def is_there(name: str, storage: str | None) -> bool:
    """Whether there is such a study already. Raises SearchError for a database that does not answer."""
    if storage is None:
        return journal_of(name).is_file()
    try:
        return name in optuna.get_all_study_names(_storage(storage, name))
    except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise _unusable(storage, error) from error


def held(study: Study) -> list[Held]:
    """All trials, in their order."""
    return [Held(trial) for trial in study.get_trials(deepcopy=False)]


def open_study(name: str, storage: str | None, aim: Aim, sampler: str, seed: int) -> Study:
    """Open or begin the study of this name. Its sampler is seeded anew each time, or it would propose again what it has proposed.

    storage: a database's URL; None keeps a journal beside the tracking store.  Raises SearchError.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import warnings

    warnings.simplefilter("ignore", ExperimentalWarning)  # multivariate TPE, in every release since 2.2
    try:
        study = optuna.create_study(study_name=name, storage=_storage(storage, name), directions=list(aim.directions), load_if_exists=True)
        count = len(study.get_trials(deepcopy=False))
        study.sampler = SAMPLERS[sampler](seed + count)
        if count == 0:
            study.set_metric_names(list(aim.metrics))
    except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise _unusable(storage, error) from error
    return study


def check_storage(url: str) -> None:
    """Ask a database before anything is done that it is to hold. Raises SearchError."""
    try:
        is_mlflows = _place(url) == _place(tracking_uri())
        if not is_mlflows:
            _storage(url, "")
    except (SQLAlchemyError, OSError, ImportError, RuntimeError, ValueError) as error:
        raise _unusable(url, error) from error
    if is_mlflows:
        raise SearchError(
            f"storage={without_password(url)} is MLflow's own database, and Optuna's tables do not go with MLflow's. Give another one, or "
            "leave storage out."
        )


def _place(uri: str) -> tuple[object, ...]:
    """Where a database lies, whoever asks it and by which driver."""
    parts = make_url(uri)
    if parts.get_backend_name() == "sqlite":
        return ("sqlite", Path(parts.database or "").resolve())
    return (parts.get_backend_name(), parts.host, parts.port, parts.database)


def _unusable(storage: str | None, error: Exception) -> SearchError:
    return SearchError(f"storage={without_password(storage or 'journal')} cannot be used: {first_line(error)}")


def _storage(url: str | None, name: str) -> BaseStorage:
    if url is not None:
        with alone_in_database(url):  # two that begin on a fresh one would both make its tables
            return optuna.storages.RDBStorage(url)
    path = journal_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def where_dashboard(name: str, storage: str | None) -> str:
    """How Optuna's own dashboard opens the study."""
    place = without_password(storage) if storage is not None else journal_of(name)
    return f"dashboard pip install optuna-dashboard; optuna-dashboard {place}"


def close_stale(study: Study, is_running: Callable[[str], bool]) -> list[Held]:
    """Tell the trials of ended processes as failed, and propose the same once more. is_running: asked with the run's id.

    They do not count: the record of the run tells whether somebody is still at it, on whichever machine.
    """
    stale = [one for one in held(study) if one.state == TrialState.RUNNING and _is_stale(one, is_running)]
    for one in stale:
        give_up(study, one)
    return stale


def _is_stale(one: Held, is_running: Callable[[str], bool]) -> bool:
    if (run_id := one.say(RUN)) is not None:
        return not is_running(run_id)
    process = Process.parse(one.say(PROCESS) or "")
    if process is not None and process.is_running is not None:
        return not process.is_running
    began = one.trial.datetime_start or datetime.min
    return time.time() - began.timestamp() > _JUST_ASKED_S


def give_up(study: Study, one: Held) -> None:
    """A trial that nobody works at any more: the same is proposed once more."""
    attributes: Mapping[str, Any] = {key: value for key, value in one.trial.user_attrs.items() if key in {ORIGIN, CONTROL}}
    optuna.Trial(study, one.trial._trial_id).set_user_attr(STALE, "its process ended without a word")
    study.tell(one.number, state=TrialState.FAIL)
    study.enqueue_trial(one.trial.params, user_attrs=dict(attributes))


def seen(study: Study, digest: str, before: int) -> Held | None:
    """The earlier trial of the same recipe that was trained, or is being trained; the first comes first, whoever asks."""
    for one in held(study):
        if one.number < before and one.say(DIGEST) == digest and not one.say(ANSWERED) and not one.say(STALE):
            return one
    return None


def enqueue(study: Study, origin: str, params: Mapping[str, Any], also: Mapping[str, Any] | None = None) -> None:
    """Propose a point before the sampler proposes any; what it leaves out is the sampler's. also: what its trial says of itself."""
    study.enqueue_trial(dict(params), user_attrs={ORIGIN: origin, **(also or {})})
