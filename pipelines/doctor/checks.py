"""List the checks for a recipe, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pipelines.doctor.base import check_layers, check_model, num_parameters
from pipelines.doctor.data import check_rows, check_text
from pipelines.doctor.device import check_device
from pipelines.doctor.disk import check_places, check_undelivered, places
from pipelines.doctor.findings import REPORT_BUG, TIMEOUT_S, Check, Remedy
from pipelines.doctor.hub import UNREACHABLE, HubName, check_hub, data_on_hub, model_on_hub
from pipelines.doctor.machine import check_cores, check_git, check_installation, check_managers, check_memory
from pipelines.doctor.store import check_tracking_store
from sbert_prune.data.sources import QUICKSTART, STS_SPLITS, find_files
from sbert_prune.errors import DataError
from sbert_prune.recipe.settings import REFERENCE_TEACHER
from sbert_prune.system.limits import Limits

if TYPE_CHECKING:
    from pipelines.doctor.findings import Finding
    from sbert_prune.recipe.recipe import Recipe

_NETWORK_TIMEOUT_S = 4.0

_STORE_TIMEOUT_S = 60.0
"""A server with accounts needs time to check a password, and an object store's client to be imported."""

_NO_STORE = Remedy(
    "It does not answer in time: check that it is running, or use a file in this folder.", "unset MLFLOW_TRACKING_URI"
)


def checks_for(recipe: Recipe) -> list[Check]:
    """Return the checks of the machine, of the folders that commands write to, and of all that the recipe names."""
    hub = names_on_hub(recipe)
    parameters, downloads = num_parameters(recipe), _downloads(recipe, hub)
    limits = Limits()
    on_machine = [
        Check("packages", check_installation),
        _check("torch", partial(check_device, recipe.device, recipe.precision, parameters), timeout_s=40.0),
        _check("cores", partial(check_cores, limits)),
        _check("memory", partial(check_memory, limits, parameters)),
        Check("disk", lambda: check_places(places(parameters, downloads))),
        _check("store", partial(check_tracking_store, recipe.name), remedy=_NO_STORE, timeout_s=_STORE_TIMEOUT_S),
        _check("left over", check_undelivered),
        _check("environments", check_managers),
        _check("git", check_git),
    ]
    layers = _check("layers", partial(check_layers, recipe))
    return [*on_machine, *_of_hub(hub), *_of_models(recipe, hub), layers, *_of_data(recipe, hub)]


def names_on_hub(recipe: Recipe) -> dict[str, HubName]:
    """Return the models and data sets of a hub, by the parameter that names them."""
    models = {parameter: hub for parameter, name in _models(recipe).items() if (hub := model_on_hub(name)) is not None}
    data = {"nli_data": recipe.nli.data, "sts_data": recipe.sts.data}
    return models | {
        parameter: data_on_hub(setting) for parameter, setting in data.items() if setting and _is_on_hub(setting)
    }


def _of_hub(hub: dict[str, HubName]) -> list[Check]:
    from huggingface_hub import constants

    if not hub:
        return []
    remedy = Remedy(UNREACHABLE, f"curl -sSI {constants.ENDPOINT}")
    return [_check("hub", check_hub, remedy=remedy, timeout_s=_NETWORK_TIMEOUT_S)]


def _of_models(recipe: Recipe, hub: dict[str, HubName]) -> list[Check]:
    models = _models(recipe).items()
    return [_maybe_remote(parameter, hub, partial(check_model, parameter, name, recipe)) for parameter, name in models]


def _of_data(recipe: Recipe, hub: dict[str, HubName]) -> list[Check]:
    texts = {"distil_data": recipe.distil.data, "vocabulary_corpus": recipe.vocabulary_corpus}
    return [
        _maybe_remote("nli_data", hub, partial(check_rows, "nli", recipe)),
        _maybe_remote("sts_data", hub, partial(check_rows, "sts", recipe)),
        *(_check(parameter, partial(check_text, parameter, file)) for parameter, file in texts.items() if file),
    ]


def _maybe_remote(parameter: str, hub: dict[str, HubName], run: Callable[[], Finding]) -> Check:
    """Return a check with the network's timeout where the parameter names something on the hub."""
    if parameter not in hub:
        return _check(parameter, run)
    remedy = Remedy(UNREACHABLE, hub[parameter].command)
    return _check(parameter, run, remedy=remedy, timeout_s=_NETWORK_TIMEOUT_S)


def _check(
    name: str, run: Callable[[], Finding], *, remedy: Remedy = REPORT_BUG, timeout_s: float = TIMEOUT_S
) -> Check:
    return Check(name, lambda: [run()], remedy, timeout_s)


def _models(recipe: Recipe) -> dict[str, str]:
    models, teacher = {"base_model": recipe.base_model}, recipe.distil.teacher
    if recipe.has_teacher and teacher != REFERENCE_TEACHER:
        models["distil_teacher"] = teacher
    return models


def _is_on_hub(setting: str) -> bool:
    try:
        return setting != QUICKSTART and find_files(setting, STS_SPLITS, required=()) is None
    except DataError:
        return False  # the check of the data reports it


def _downloads(recipe: Recipe, hub: dict[str, HubName]) -> int:
    """Return the bytes that the recipe states for what the cache does not have."""
    missing = [parameter for parameter, name in hub.items() if name.in_cache() is None]
    return int(1e6 * sum(recipe.downloads.get(parameter, 0.0) for parameter in missing))
