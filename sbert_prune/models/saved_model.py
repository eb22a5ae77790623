"""A saved encoder or sentence model with its name and its lineage."""

from dataclasses import dataclass
from pathlib import Path

from sbert_prune.errors import EncoderError
from sbert_prune.models.checkpoint import Checkpoint
from sbert_prune.models.lineage import FILE_NAME, BaseRecord, Lineage, read_lineage
from sbert_prune.models.modules import pooling_of


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A checkpoint and its name: a base, or a sentence model from any step.

    Attributes:
        uri: A name, folder, hub id, or `models:/` or `runs:/` URI.
        revision: The hub's commit, None for models from elsewhere.
        checkpoint: The files.
    """

    uri: str
    revision: str | None
    checkpoint: Checkpoint

    @property
    def folder(self) -> Path:
        """Its folder on this machine."""
        return self.checkpoint.folder

    @property
    def is_sentence_model(self) -> bool:
        """Whether it was saved with pooling, not as a bare encoder."""
        return (self.folder / "modules.json").is_file()

    @property
    def pooling(self) -> str | None:
        """The saved pooling: mean, cls or another mode of sentence-transformers; None for a bare encoder."""
        return pooling_of(self.folder)


def lineage_of(source: SavedModel) -> Lineage:
    """Return the lineage of a saved model; a model without `pruning.json` is itself a base.

    Raises:
        EncoderError: `pruning.json` is damaged or belongs to another model.
    """
    lineage, checkpoint = read_lineage(source.folder), source.checkpoint
    if lineage is None:
        base = BaseRecord(id=source.uri, revision=source.revision, sha256=checkpoint.sha256(), depth=checkpoint.depth)
        return Lineage.begin(base, pooling=source.pooling)
    if lineage.selection.num_layers != checkpoint.depth:
        raise EncoderError(
            f"{source.folder / FILE_NAME} records {lineage.selection.num_layers} kept layers ({lineage.selection}), "
            f"the encoder beside it has {checkpoint.depth}. Restore the file, "
            "or delete it to treat the model as one of unknown origin."
        )
    return lineage
