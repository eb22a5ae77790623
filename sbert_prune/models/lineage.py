"""Lineage: what a variant was made from, saved as `pruning.json` in every model."""

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
from sbert_prune.recipe.recipe import FULL_PRECISION, SavePrecision
from sbert_prune.system.reading import read_json

FILE_NAME = "pruning.json"
_PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseRecord(_Record):
    """The unpruned encoder.

    Attributes:
        id: Its name, folder or hub id.
        revision: The hub's commit, None for a folder.
        sha256: SHA-256 of its weight files.
        depth: Number of layers.
    """

    id: str
    revision: str | None
    sha256: str
    depth: int


class DataRecord(_Record):
    """The text or rows that a phase or a trim used.

    Attributes:
        name: The data's name.
        source: Where it came from.
        digest: SHA-256 of the rows' content, independent of the file's format.
        rows: Number of rows.
        skipped: Number of rows that could not be used.
        leaks: Number of rows left out because they occur in dev or test as well.
    """

    name: str
    source: str
    digest: str
    rows: int
    skipped: int
    leaks: int = 0


class CutRecord(_Record):
    """One prune.

    Attributes:
        kept_layers: The layers left, in the original base's indices.
        strategy: How they were chosen.
        run_id: The MLflow run, if any.
    """

    kind: Literal["prune"] = "prune"
    kept_layers: tuple[int, ...]
    strategy: str
    run_id: str | None = None


class TrimRecord(_Record):
    """One trim of the vocabulary.

    Attributes:
        pieces: Number of pieces left.
        pieces_before: Number of pieces before the trim.
        digest: SHA-256 of the pieces left, in their order.
        limit: The limit that was set.
        corpus: The text that the pieces were counted in.
        run_id: The MLflow run, if any.
    """

    kind: Literal["trim"] = "trim"
    pieces: int
    pieces_before: int
    digest: str
    limit: str
    corpus: DataRecord
    run_id: str | None = None


class TeacherRecord(_Record):
    """The teacher of a distillation.

    Attributes:
        id: Its URI.
        sha256: SHA-256 of its weight files.
    """

    id: str
    sha256: str


class PhaseRecord(_Record):
    """One phase of fine-tuning.

    Attributes:
        phase: The phase's name.
        settings: As in the recipe.
        data: The training data.
        seed: Random seed.
        precision: Number type of the computation.
        teacher: None if the phase was trained on labels alone.
        run_id: The MLflow run, if any.
    """

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
    """How the model in a folder was made from its base.

    Attributes:
        base: The base.
        kept_layers: In the original base's indices, also after several prunes.
        strategy: The strategy of the last prune.
        pooling: None until it is chosen.
        save_precision: Number type of the saved weights; older releases know float32 alone, and do not know this field.
        chain: Every prune, trim and phase, in order.
        packages: Versions of the libraries.
        code_version: Our version.
        created: When, in UTC, in ISO 8601.
    """

    base: BaseRecord
    kept_layers: tuple[int, ...]
    strategy: str = "none"
    pooling: str | None
    save_precision: SavePrecision = Field(default=FULL_PRECISION, exclude_if=lambda value: value == FULL_PRECISION)
    chain: tuple[ChangeRecord, ...] = ()
    packages: dict[str, str]
    code_version: str
    created: str

    @classmethod
    def begin(cls, base: BaseRecord, *, pooling: str | None) -> Self:
        """Return the lineage of an unchanged base."""
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
        """The last trim of the vocabulary; None if the vocabulary is the base's."""
        return next((record for record in reversed(self.chain) if isinstance(record, TrimRecord)), None)

    def after_cut(self, selection: LayerSelection, *, strategy: str, run_id: str | None = None) -> Self:
        """Return the lineage after a prune, unchanged if it drops nothing; `selection` is in this model's indices."""
        kept = selection.within(self.selection).kept
        if not selection.dropped:
            return self
        record = CutRecord(kept_layers=kept, strategy=strategy, run_id=run_id)
        return self.model_copy(update={"kept_layers": kept, "strategy": strategy, "chain": (*self.chain, record)})

    def after(self, record: TrimRecord | PhaseRecord) -> Self:
        """Return the lineage after a trim or a phase."""
        return self.model_copy(update={"chain": (*self.chain, record)})

    def pooled(self, pooling: str) -> Self:
        """Return the lineage of the same encoder with this pooling."""
        return self.model_copy(update={"pooling": pooling})

    def saved_as(self, precision: SavePrecision) -> Self:
        """Return the lineage of the same model, saved in this number type."""
        return self.model_copy(update={"save_precision": precision})

    def write(self, folder: Path) -> None:
        """Write `pruning.json` into a model's folder."""
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def code_version() -> str:
    """Return our version, with the commit if the code runs from a git checkout."""
    arguments = ["-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    git = shutil.which("git")
    if git is None:
        return __version__
    commit = subprocess.run([git, *arguments], capture_output=True, text=True, check=False).stdout.strip()
    return f"{__version__}+{commit}" if commit else __version__


def read_lineage(folder: Path) -> Lineage | None:
    """Read `pruning.json`; return None if the folder has none, as for a model not made by sbert-prune.

    Raises:
        EncoderError: The file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        lineage = Lineage.model_validate(read_json(path))
        lineage.selection  # noqa: B018 - raises a ValueError for impossible layers
    except ValueError as error:
        raise EncoderError(
            f"{path} cannot be read: {str(error).rstrip('.')}. "
            "Restore it, or delete it to treat the model as one of unknown origin."
        ) from error
    return lineage
