"""What a variant was made from: `pruning.json`, inside every model that we save."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from sbert_prune import __version__
from sbert_prune.errors import EncoderError
from sbert_prune.layers import LayerSelection

FILE_NAME = "pruning.json"
_PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseRecord(_Record):
    """The unpruned encoder. revision: the hub's commit, None for a folder.  sha256: of its weight files."""

    id: str
    revision: str | None
    sha256: str
    depth: int


class DataRecord(_Record):
    """One split that a phase saw. digest: SHA-256 of the rows' content, whatever file held them."""

    name: str
    source: str
    digest: str
    rows: int
    skipped: int


class PhaseRecord(_Record):
    """One phase of fine-tuning. settings: as in the recipe.  run_id: the MLflow run that did it, if any."""

    phase: str
    settings: dict[str, Any]
    data: DataRecord
    seed: int
    precision: str
    run_id: str | None


class Lineage(_Record):
    """From the base to what lies in this folder. kept_layers: in the original base's indices."""

    base: BaseRecord
    kept_layers: tuple[int, ...]
    strategy: str
    pooling: str
    phases: tuple[PhaseRecord, ...] = ()
    packages: dict[str, str]
    code_version: str
    created: str

    @classmethod
    def begin(cls, base: BaseRecord, selection: LayerSelection, *, strategy: str, pooling: str) -> Self:
        """The lineage of a base just pruned."""
        return cls(
            base=base,
            kept_layers=selection.kept,
            strategy=strategy,
            pooling=pooling,
            packages={name: version(name) for name in _PACKAGES},
            code_version=code_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def selection(self) -> LayerSelection:
        """The kept layers as a value."""
        return LayerSelection(self.kept_layers, self.base.depth)

    def pruned_again(self, selection: LayerSelection, *, strategy: str, pooling: str) -> Self:
        """The lineage after another cut; `selection` is in this model's indices."""
        return self.model_copy(update={"kept_layers": selection.within(self.selection).kept, "strategy": strategy, "pooling": pooling})

    def after_phase(self, record: PhaseRecord) -> Self:
        """The lineage after one more phase."""
        return self.model_copy(update={"phases": (*self.phases, record)})

    def write(self, folder: Path) -> None:
        """Write `pruning.json` into a model's folder."""
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def code_version() -> str:
    """Our version, with the commit where the code runs from a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    git = shutil.which("git")
    commit = subprocess.run([git, *command[1:]], capture_output=True, text=True, check=False).stdout.strip() if git else ""
    return f"{__version__}+{commit}" if commit else __version__


def read_lineage(folder: Path) -> Lineage | None:
    """Read `pruning.json`; None where the folder has none, as a stranger's model. Raises EncoderError for a damaged one."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        lineage = Lineage.model_validate(json.loads(path.read_bytes()))
        LayerSelection(lineage.kept_layers, lineage.base.depth)  # raises a ValueError for layers that cannot be
    except ValueError as error:
        raise EncoderError(
            f"{path} cannot be read: {str(error).rstrip('.')}. Restore it, or delete it to treat the model as one of unknown origin."
        ) from error
    return lineage
