"""What a variant was made from: `pruning.json`, inside every model that we save."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

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
    """The text or rows that a phase or a trim saw.

    digest: SHA-256 of the rows' content, whatever file held them.  leaks: rows left out because they stand in dev or test too.
    """

    name: str
    source: str
    digest: str
    rows: int
    skipped: int
    leaks: int = 0


class CutRecord(_Record):
    """One cut. kept_layers: what was left after it, in the original base's indices.  run_id: the MLflow run that did it, if any."""

    kind: Literal["prune"] = "prune"
    kept_layers: tuple[int, ...]
    strategy: str
    run_id: str | None = None


class TrimRecord(_Record):
    """One trim of the vocabulary. pieces: how many were left of how many.  digest: SHA-256 of those left, in their order."""

    kind: Literal["trim"] = "trim"
    pieces: int
    pieces_before: int
    digest: str
    limit: str
    corpus: DataRecord
    run_id: str | None = None


class TeacherRecord(_Record):
    """Who taught. id: its URI.  sha256: of its weight files."""

    id: str
    sha256: str


class PhaseRecord(_Record):
    """One phase of fine-tuning. settings: as in the recipe.  teacher: None where the labels alone taught."""

    kind: Literal["train"] = "train"
    phase: str
    settings: dict[str, Any]
    data: DataRecord
    seed: int
    precision: str
    teacher: TeacherRecord | None = None
    run_id: str | None


ChangeRecord = Annotated[CutRecord | TrimRecord | PhaseRecord, Field(discriminator="kind")]


class Lineage(_Record):
    """From the base to what lies in this folder.

    kept_layers: in the original base's indices, whatever was cut how often.  strategy: the last cut's.
    pooling: None while nobody has chosen it.  chain: every cut, trim and phase, in the order in which they were done.
    """

    base: BaseRecord
    kept_layers: tuple[int, ...]
    strategy: str = "none"
    pooling: str | None
    chain: tuple[ChangeRecord, ...] = ()
    packages: dict[str, str]
    code_version: str
    created: str

    @classmethod
    def begin(cls, base: BaseRecord, *, pooling: str | None) -> Self:
        """The lineage of a base as it was given."""
        return cls(
            base=base,
            kept_layers=LayerSelection.all(base.depth).kept,
            pooling=pooling,
            packages={name: version(name) for name in _PACKAGES},
            code_version=code_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def selection(self) -> LayerSelection:
        """The kept layers as a value."""
        return LayerSelection(self.kept_layers, self.base.depth)

    @property
    def phases(self) -> tuple[PhaseRecord, ...]:
        """The phases of fine-tuning, in order."""
        return tuple(record for record in self.chain if isinstance(record, PhaseRecord))

    @property
    def trim(self) -> TrimRecord | None:
        """The last trim of the vocabulary; None where it is the base's."""
        return next((record for record in reversed(self.chain) if isinstance(record, TrimRecord)), None)

    def after_cut(self, selection: LayerSelection, *, strategy: str, run_id: str | None = None) -> Self:
        """The lineage after one more cut; `selection` is in this model's indices. A selection that drops nothing is no cut."""
        kept = selection.within(self.selection).kept
        if not selection.dropped:
            return self
        record = CutRecord(kept_layers=kept, strategy=strategy, run_id=run_id)
        return self.model_copy(update={"kept_layers": kept, "strategy": strategy, "chain": (*self.chain, record)})

    def after(self, record: TrimRecord | PhaseRecord) -> Self:
        """The lineage after a trim or a phase."""
        return self.model_copy(update={"chain": (*self.chain, record)})

    def pooled(self, pooling: str) -> Self:
        """The lineage of the same encoder with this pooling."""
        return self.model_copy(update={"pooling": pooling})

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
        lineage.selection  # noqa: B018 - raises a ValueError for layers that cannot be
    except (ValueError, RecursionError) as error:
        raise EncoderError(
            f"{path} cannot be read: {str(error).rstrip('.')}. Restore it, or delete it to treat the model as one of unknown origin."
        ) from error
    return lineage
