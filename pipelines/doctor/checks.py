"""Which checks there are for a recipe, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pipelines.doctor.base import check_layers, check_model, num_parameters
from pipelines.doctor.data import check_rows, check_text
from pipelines.doctor.device import check_device
from pipelines.doctor.disk import check_places, check_undelivered, places
from pipelines.doctor.findings import OURS, PATIENCE_S, Check
from pipelines.doctor.hub import LATE, HubName, check_hub, data_on_hub, model_on_hub
from pipelines.doctor.machine import check_cores, check_git, check_managers, check_memory, look_at_packages
from pipelines.doctor.store import check_tracking_store
from sbert_prune.data.sources import QUICKSTART, STS_SPLITS, find_files
from sbert_prune.errors import DataError
from sbert_prune.recipe.settings import REFERENCE_TEACHER
from sbert_prune.system.limits import Limits

if TYPE_CHECKING:
    from pipelines.doctor.findings import Finding
    from sbert_prune.recipe.recipe import Recipe

_NETWORK_S = 4.0
"""For so long a look over a network may take."""

_STORE_S = 12.0
"""For so long the store may take: a server that asks for passwords needs its time to check them."""

_NO_STORE = ("It does not answer in time: see whether it runs, or take a file in this folder.", "unset MLFLOW_TRACKING_URI")


def checks_for(recipe: Recipe) -> list[Check]:
    """What the recipe runs on, where it writes, and what it names."""
    hub = names_on_hub(recipe)
    parameters, downloads = num_parameters(recipe), _downloads(recipe, hub)
    limits = Limits()
    on_machine = [
        Check("packages", look_at_packages),
        _check("torch", partial(check_device, recipe.device, recipe.precision, parameters), within_s=40.0),
        _check("cores", partial(check_cores, limits)),
        _check("memory", partial(check_memory, limits, parameters)),
        Check("disk", lambda: check_places(places(parameters, downloads))),
        _check("store", check_tracking_store, mend=_NO_STORE, within_s=_STORE_S),
        _check("left over", check_undelivered),
        _check("environments", check_managers),
        _check("git", check_git),
    ]
    layers = _check("layers", partial(check_layers, recipe))
    return [*on_machine, *_of_hub(hub), *_of_models(recipe, hub), layers, *_of_data(recipe, hub)]


def names_on_hub(recipe: Recipe) -> dict[str, HubName]:
    """What comes from a hub, by the parameter that names it."""
    found = {parameter: hub for parameter, name in _models(recipe).items() if (hub := model_on_hub(name)) is not None}
    data = {"nli_data": recipe.nli.data, "sts_data": recipe.sts.data}
    return found | {parameter: data_on_hub(setting) for parameter, setting in data.items() if setting and _is_on_hub(setting)}


def _of_hub(hub: dict[str, HubName]) -> list[Check]:
    from huggingface_hub import constants

    return [_check("hub", check_hub, mend=(LATE, f"curl -sSI {constants.ENDPOINT}"), within_s=_NETWORK_S)] if hub else []


def _of_models(recipe: Recipe, hub: dict[str, HubName]) -> list[Check]:
    return [_maybe_far(check, hub, partial(check_model, check, name, recipe)) for check, name in _models(recipe).items()]


def _of_data(recipe: Recipe, hub: dict[str, HubName]) -> list[Check]:
    texts = {"distil_data": recipe.distil.data, "vocabulary_corpus": recipe.vocabulary_corpus}
    return [
        _maybe_far("nli_data", hub, partial(check_rows, "nli", recipe)),
        _maybe_far("sts_data", hub, partial(check_rows, "sts", recipe)),
        *(_check(check, partial(check_text, check, file)) for check, file in texts.items() if file),
    ]


def _maybe_far(check: str, hub: dict[str, HubName], look: Callable[[], Finding]) -> Check:
    """A look that goes over a network where the hub has what it looks at."""
    if check not in hub:
        return _check(check, look)
    return _check(check, look, mend=(LATE, hub[check].command), within_s=_NETWORK_S)


def _check(name: str, look: Callable[[], Finding], *, mend: tuple[str, str] = OURS, within_s: float = PATIENCE_S) -> Check:
    return Check(name, lambda: [look()], mend, within_s)


def _models(recipe: Recipe) -> dict[str, str]:
    teacher = recipe.distil.teacher
    return {"base_model": recipe.base_model} | ({"distil_teacher": teacher} if recipe.has_teacher and teacher != REFERENCE_TEACHER else {})


def _is_on_hub(setting: str) -> bool:
    try:
        return setting != QUICKSTART and find_files(setting, STS_SPLITS, required=()) is None
    except DataError:
        return False  # its own row says why


def _downloads(recipe: Recipe, hub: dict[str, HubName]) -> int:
    """Bytes that the recipe notes for what the cache does not have."""
    missing = [parameter for parameter, name in hub.items() if name.in_cache() is None]
    return int(1e6 * sum(recipe.downloads.get(parameter, 0.0) for parameter in missing))
