"""A saved encoder or sentence model, by the name that people give it, and what it was made from."""

from dataclasses import dataclass
from pathlib import Path

from sbert_prune.errors import EncoderError
from sbert_prune.models.checkpoint import Checkpoint
from sbert_prune.models.lineage import FILE_NAME, BaseRecord, Lineage, read_lineage
from sbert_prune.models.modules import pooling_of


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A checkpoint and what people call it: a base, or a sentence model at any point of its making.

    uri: a name, folder, hub id, or `models:/` or `runs:/` URI.  revision: the hub's commit, None for all others.
    """

    uri: str
    revision: str | None
    checkpoint: Checkpoint

    @property
    def folder(self) -> Path:
        """Where it lies on this machine."""
        return self.checkpoint.folder

    @property
    def is_sentence_model(self) -> bool:
        """Whether pooling was saved along with the encoder."""
        return (self.folder / "modules.json").is_file()

    @property
    def pooling(self) -> str | None:
        """The pooling that was saved along with the encoder: mean, cls, or what else sentence-transformers knows."""
        return pooling_of(self.folder)


def lineage_of(source: SavedModel) -> Lineage:
    """What a saved model was made from; a model without `pruning.json` is itself a base. Raises EncoderError for another model's."""
    found, checkpoint = read_lineage(source.folder), source.checkpoint
    if found is not None and found.selection.num_layers != checkpoint.depth:
        told = f"{found.selection.num_layers} kept layers ({found.selection})"
        raise EncoderError(
            f"{source.folder / FILE_NAME} speaks of {told}, the encoder beside it has {checkpoint.depth}. Restore the file, "
            "or delete it to treat the model as one of unknown origin."
        )
    if found is not None:
        return found
    base = BaseRecord(id=source.uri, revision=source.revision, sha256=checkpoint.sha256(), depth=checkpoint.depth)
    return Lineage.begin(base, pooling=source.pooling)
