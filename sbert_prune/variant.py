"""How a variant is made: select layers, cut, trim the vocabulary, train the phases, and write each to its lineage.

The method of arXiv 2409.14168. Nothing here knows a store or a run: callers record what they need.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from sbert_prune.errors import EncoderError
from sbert_prune.inputs.teacher import teacher_layers
from sbert_prune.inputs.texts import data_record, open_corpus
from sbert_prune.layer_analysis.importance import IMPORTANCE
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import layer_similarity
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.lineage import PhaseRecord, TeacherRecord, TrimRecord
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import (
    PROBES,
    as_sentence_model,
    check_embeddings,
    embed,
    encoder_of,
    load_saved,
    round_weights,
    with_encoder,
    with_pooling,
)
from sbert_prune.pruning import prune_checkpoint, prune_layers
from sbert_prune.recipe.recipe import DEFAULT_POOLING, FULL_PRECISION
from sbert_prune.strategies import choose_layers
from sbert_prune.training.phases import PHASES, PhaseTrainer
from sbert_prune.training.teacher import Teacher
from sbert_prune.vocabulary.trim import trim_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import RowSet, StsRow
    from sbert_prune.inputs.texts import TrainingTexts
    from sbert_prune.layer_analysis.scores import Importance
    from sbert_prune.models.checkpoint import Checkpoint
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe, SavePrecision
    from sbert_prune.training.setup import TrainerSetup
    from sbert_prune.vocabulary.trim import TrimReport


@dataclass(frozen=True, eq=False)
class Variant:
    """A sentence model and how it was made.

    Attributes:
        model: The sentence model, on the CPU.
        lineage: Its base, kept layers, trims and phases.
    """

    model: SentenceTransformer
    lineage: Lineage

    @classmethod
    def load(cls, source: SavedModel, recipe: Recipe) -> Self:
        """Load a saved model; a bare encoder gets the recipe's pooling and length.

        Raises:
            EncoderError: It cannot be loaded.
        """
        return cls(as_sentence_model(source, recipe), lineage_of(source))

    def rounded(self, precision: SavePrecision) -> Self:
        """Round the weights in place to a number type, and return the variant that is saved in it.

        Raises:
            RoundTripError: A weight is beyond the range of the number type.
        """
        round_weights(self.model, precision)
        return replace(self, lineage=self.lineage.saved_as(precision))


@dataclass(frozen=True, eq=False)
class Choice:
    """The layers to keep.

    Attributes:
        selection: The layers.
        importance: The scores by which a measured strategy chose; None where the place decides.
        similarity: Linear CKA between the sentence vectors after each two layers, for a measured strategy.
            *Shape:* (depth + 1, depth + 1)
    """

    selection: LayerSelection
    importance: Importance | None = None
    similarity: NDArray[np.float64] | None = None


def select_layers(recipe: Recipe, source: SavedModel, layers: str, texts: TrainingTexts | None) -> Choice:
    """Choose the layers of a model to keep.

    Args:
        recipe: Names the strategy.
        source: The model.
        layers: A count for the strategy, or a list of layers.
        texts: What a measured strategy measures on; None for a strategy by place.

    Raises:
        SelectionError: The model does not have these layers.
        DataError: The texts are not sufficient for the strategy.
    """
    depth = source.checkpoint.depth
    selection = choose_layers(layers, strategy=recipe.strategy, depth=depth)
    if selection is not None:
        return Choice(selection)
    assert texts is not None  # callers load them for a measured strategy
    model, calibration = _load(recipe, source.checkpoint), texts.calibration()
    importance = IMPORTANCE[recipe.strategy](model, calibration)
    first_stays = bool(architecture_of(str(source.checkpoint.config["model_type"])).first_lacks)
    selection = LayerSelection(importance.keep(int(layers), first_stays=first_stays), depth)
    return Choice(selection, importance, layer_similarity(profile_layers(model, calibration.sentences)))


def cut_layers(
    recipe: Recipe,
    source: SavedModel,
    selection: LayerSelection,
    *,
    strategy: str,
    scratch: Path,
    run_id: str | None = None,
) -> Variant:
    """Remove the dropped layers on disk, and load what is left: dropped layers never take memory.

    Args:
        recipe: Sets the pooling and the length.
        source: The model to prune; it stays as it is.
        selection: The layers to keep, in the model's own indices.
        strategy: How they were chosen, for the lineage.
        scratch: A folder on a disk with space for the result, which is removed from there.
        run_id: The MLflow run, for the lineage.

    Raises:
        SelectionError: The selection does not fit the model.
        EncoderError: The model is damaged, or its modules do not fit each other.
    """
    origin = lineage_of(source)
    if selection.dropped:
        with TemporaryDirectory(dir=scratch, prefix="cut-") as folder:
            model = _load(recipe, prune_checkpoint(source.folder, selection, Path(folder), lineage=origin))
    else:
        model = _load(recipe, source.checkpoint)
    _check_cut(model, source)
    lineage = origin.after_cut(selection, strategy=strategy, run_id=run_id).saved_as(FULL_PRECISION)
    return Variant(model, lineage.pooled(recipe.pooling or source.pooling or DEFAULT_POOLING))


def _load(recipe: Recipe, checkpoint: Checkpoint) -> SentenceTransformer:
    model = load_saved(checkpoint, max_seq_length=recipe.max_seq_length)
    return with_pooling(model, recipe.pooling, max_seq_length=recipe.max_seq_length)


def _check_cut(model: SentenceTransformer, source: SavedModel) -> None:
    """Raise EncoderError for a damaged base, or modules that do not fit each other, before hours of training."""
    try:
        vectors = embed(model, PROBES)
    except RuntimeError as error:
        raise EncoderError(
            f"{source.uri} cannot embed a sentence with this pooling: {error}. Leave pooling out to keep its own."
        ) from error
    check_embeddings(vectors, f"{source.uri}, pruned,", advice="Its weights are damaged: fetch it again.")


def first_layers(model: SentenceTransformer, counts: Sequence[int]) -> dict[int, SentenceTransformer]:
    """Return models of the first layers of a model, by their count. They share its weights: to time them alone."""
    encoder = encoder_of(model)
    depth = len(layers_of(encoder))
    return {
        count: with_encoder(
            deepcopy(model, {id(encoder): encoder}),
            prune_layers(encoder, LayerSelection(tuple(range(count)), depth), share_weights=True),
        )
        for count in counts
    }


def trim_pieces(
    recipe: Recipe, variant: Variant, texts: TrainingTexts | None, *, run_id: str | None = None
) -> tuple[Variant, TrimReport]:
    """Trim the vocabulary to the recipe's limit.

    Args:
        recipe: Sets the limit, and names the corpus if it is not the training texts.
        variant: The variant; its model stays as it is.
        texts: The training texts; None where the recipe names a corpus.
        run_id: The MLflow run, for the lineage.
    """
    corpus = open_corpus(recipe.vocabulary_corpus, texts)
    model, report = trim_vocabulary(variant.model, corpus, recipe.vocabulary_limit)
    record = TrimRecord(
        pieces=report.pieces_after,
        pieces_before=report.pieces_before,
        digest=report.digest,
        limit=str(recipe.vocabulary_limit),
        corpus=corpus.record(),
        run_id=run_id,
    )
    return Variant(model, variant.lineage.after(record)), report


def train_phase(
    recipe: Recipe,
    variant: Variant,
    phase: str,
    rows: RowSet[Any],
    setup: TrainerSetup,
    *,
    dev: RowSet[StsRow] | None = None,
    teacher: Teacher | None = None,
    run_id: str | None = None,
) -> Variant:
    """Train one phase.

    Args:
        recipe: Its settings of the phase apply.
        variant: The variant; its model is trained in place.
        phase: A name in PHASES.
        rows: The rows of the phase.
        setup: Device, seed, callbacks and checkpoints.
        dev: The pairs that choose the weights; without them the last weights are kept.
        teacher: The model whose embeddings the phase learns; see `teacher_of`.
        run_id: The MLflow run, for the lineage.

    Raises:
        DataError: The loss of the phase cannot use the rows.
        TrainingError: The loss is not finite, or memory runs out.
        RoundTripError: The embeddings are not finite, or all the same.
    """
    model, lineage, settings = variant.model, variant.lineage, recipe.settings_of(phase)
    if settings.pooling is not None:
        model = with_pooling(model, settings.pooling, max_seq_length=model.max_seq_length)
        lineage = lineage.pooled(settings.pooling)
    trainer = PhaseTrainer(model, setup, dev=dev.rows if dev else None, teacher=teacher)
    trainer.train(phase, rows.rows, settings)
    variant = Variant(model, lineage).rounded(recipe.save_precision_after(phase))
    check_embeddings(embed(model, PROBES), f"The model after {PHASES[phase].step}")
    record = PhaseRecord(
        phase=phase,
        settings=settings.model_dump(mode="json"),
        data=data_record(rows),
        seed=recipe.seed,
        precision=setup.hardware.precision,
        teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
        run_id=run_id,
    )
    return Variant(model, variant.lineage.after(record))


def teacher_of(recipe: Recipe, phase: str, student: Lineage, source: SavedModel | None) -> Teacher | None:
    """Return the teacher of a phase; None where labels alone teach.

    Args:
        recipe: Its settings say whether the phase learns from a teacher, and whether layer by layer.
        phase: A name in PHASES.
        student: Lineage of the model to train.
        source: The teacher's model, if there is one.

    Raises:
        RecipeError: The student's layers cannot be compared with the teacher's.
    """
    settings = recipe.settings_of(phase)
    if source is None or settings.distillation == 0:
        return None
    return Teacher(source, teacher_layers(recipe, student, source) if settings.layer_weight > 0 else None)
