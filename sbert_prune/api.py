"""The public functions of the library: prune a base, train it, evaluate it, save it. No store, no run."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import RecipeError
from sbert_prune.evaluation.comparison import Judgement
from sbert_prune.evaluation.embeddings import embed_once
from sbert_prune.evaluation.measures import measure_all, texts_of
from sbert_prune.evaluation.sts import StsMeasure
from sbert_prune.inputs.data import check_texts, find_nli, find_sts, find_sts_splits, find_texts, needs_texts
from sbert_prune.inputs.texts import TrainingTexts, distillation_sentences
from sbert_prune.metrics import headlines
from sbert_prune.models.architectures import check_selection
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import load_saved, save_sentence_model
from sbert_prune.models.sources import locate_base
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import parameter_name
from sbert_prune.strategies import EXPLICIT
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.phases import PHASES
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.variant import Variant, cut_layers, select_layers, teacher_of, train_phase, trim_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.evaluation.measures import Measured
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.training.setup import Progress

_logger = logging.getLogger(__name__)


def prune(
    base: str | Path,
    layers: int | str | Sequence[int],
    *,
    strategy: str = "drop-alternate",
    vocabulary: int | float | str = "all",
    vocabulary_corpus: str | Path | None = None,
    nli_data: str | Path | None = None,
    sts_data: str | Path | None = None,
    pooling: str | None = None,
    max_seq_length: int = 128,
    convert_pickle: bool = False,
) -> Variant:
    """Keep some layers of an encoder, and trim its vocabulary on request. The base stays as it is.

    Args:
        base: "quickstart" (in this package), a folder, or a hub id such as "org/name@revision".
        layers: How many to keep, or which: 6, "0,2,4-7", [0, 2, 4]. Layer 0 is next to the embeddings.
        strategy: Chooses the layers of a count: a name in `sbert_prune.strategies`, by place or measured.
        vocabulary: "all", a number of pieces to keep (8000), or the share of the corpus to cover (0.999).
        vocabulary_corpus: Text with one sentence a line; without it, the sentences of `nli_data` and `sts_data` count.
        nli_data: NLI rows for a measured strategy or for trimming, as for `train`.
        sts_data: STS pairs, likewise.
        pooling: "mean" or "cls"; None keeps the pooling of a sentence model, and gives a bare encoder the mean.
        max_seq_length: Longest input in pieces.
        convert_pickle: Whether pickled weights may be read, for their tensors alone.

    Returns:
        The pruned sentence model with its lineage, in float32. It has not been trained yet.

    Raises:
        SelectionError: The base does not have these layers, or the strategy is unknown.
        EncoderError: The base cannot be found or loaded.
        RecipeError: A value is wrong, or data are missing that the strategy or the vocabulary needs.
        DataError: A file cannot be read.
    """
    kept = ",".join(map(str, layers)) if not isinstance(layers, int | str) else str(layers)
    recipe = _recipe(
        "quickstart",
        base_model=base,
        layers=kept,
        strategy=strategy,
        vocabulary=vocabulary,
        vocabulary_corpus=vocabulary_corpus,
        nli_data=nli_data,
        sts_data=sts_data,
        pooling=pooling,
        max_seq_length=max_seq_length,
        convert_pickle=convert_pickle,
    )
    source = locate_base(recipe.base_model, convert_pickle=convert_pickle)
    texts = _texts_to_prune_by(recipe)
    choice = select_layers(recipe, source, kept, texts)
    check_selection(str(source.checkpoint.config["model_type"]), choice.selection)
    named = strategy if kept.isdecimal() else EXPLICIT
    with TemporaryDirectory(prefix="sbert-prune-") as scratch:
        variant = cut_layers(recipe, source, choice.selection, strategy=named, scratch=Path(scratch))
    return trim_pieces(recipe, variant, texts)[0] if recipe.vocabulary_limit.trims else variant


def _texts_to_prune_by(recipe: Recipe) -> TrainingTexts | None:
    if not needs_texts(recipe):
        return None
    sts = find_sts(recipe).value
    texts = TrainingTexts(find_nli(recipe, sts, trains=False).value, sts)
    check_texts(recipe, texts)
    return texts


def train(
    variant: Variant, recipe: str | Path, *, teacher: Variant | str | Path | None = None, **settings: Any
) -> Variant:
    """Train a variant by the phases of a recipe: NLI, then STS, as the recipe says. Progress goes to `logging`.

    Args:
        variant: What `prune` returned. Its model is trained in place.
        recipe: A preset such as "english", or a YAML file: the data, the phases and their settings.
        teacher: Whose embeddings are learnt as well, where the recipe distils: a variant, usually the base with all its
            layers after the same training, or a saved model.
        **settings: Other values for single settings, by the names that the commands use, such as `nli_data="nli.tsv"`,
            `sts_data="sts/"`, `sts_epochs=4`, `seed=7`; docs/commands.md lists them.

    Returns:
        The trained variant, with the phases in its lineage.

    Raises:
        RecipeError: A value is wrong or missing; the message names it.
        DataError: The rows cannot be used. Train rows that are in dev or test are left out.
        TrainingError: The loss is not finite, or memory runs out.
        RoundTripError: The embeddings are not finite, or all the same.
    """
    values = _recipe(str(recipe), **settings)
    if values.has_teacher and teacher is None:
        raise RecipeError(
            f"The recipe {values.name} distils, and there is no teacher. Give teacher=, a trained variant or the "
            "folder of a sentence model; or train without one, with a recipe such as quickstart-paper."
        )
    with TemporaryDirectory(prefix="sbert-prune-") as scratch:
        saved = save(teacher, Path(scratch) / "teacher") if isinstance(teacher, Variant) else teacher
        return _train(variant, values, locate_base(str(saved)) if saved is not None else None)


def _train(variant: Variant, values: Recipe, source: SavedModel | None) -> Variant:
    texts = find_texts(values).value
    texts = TrainingTexts(texts.nli, texts.sts, distillation_sentences(values, texts))
    hardware = choose_hardware(values.device, values.precision)
    for phase in values.phases:
        rows = PHASES[phase].rows(texts)
        assert rows is not None  # find_texts loads what the phases need
        setup = TrainerSetup(hardware, values.seed, _reporter(phase), notice=_logger.warning)
        phase_teacher = teacher_of(values, phase, variant.lineage, source)
        variant = train_phase(values, variant, phase, rows, setup, dev=texts.sts.dev, teacher=phase_teacher)
    return variant


def _reporter(phase: str) -> Any:
    def report(progress: Progress) -> None:
        dev = "" if progress.dev_score is None else f", dev {progress.dev_score:.4f}"
        step = f"optimizer step {progress.optimizer_step}/{progress.num_optimizer_steps}"
        _logger.info("%s: %s, loss %.4f%s", phase, step, progress.loss, dev)

    return report


def evaluate(
    variant: Variant | str | Path,
    sts_data: str | Path,
    *,
    reference: Variant | str | Path | None = None,
    score_range: tuple[float, float] | None = None,
) -> dict[str, float]:
    """Score a model on STS pairs, with intervals, and compare it with a reference on the same pairs.

    Args:
        variant: A variant, or the folder of a sentence model.
        sts_data: "quickstart", a file of pairs (the test split), a folder with dev and test, or a data set of a hub.
        reference: Usually the unpruned base after the same training.
        score_range: Lowest and highest score of the files; None infers them.

    Returns:
        Metrics by the names that MLflow's runs have: `sts_test/spearman_cosine` (-1 to 1) with `_low` and `_high`
        (95 %, bootstrap), `sts_test/pearson_cosine`, the same for dev; with a reference also `quality/retention` (the
        share of its score) and `difference/reference` with `difference/reference_p_worse`, the probability that the
        model is worse by more than a point.

    Raises:
        DataError: The pairs cannot be read, or their scores do not vary.
        RoundTripError: The embeddings are not finite, or all the same.
    """
    scores = None if score_range is None else f"{score_range[0]}-{score_range[1]}"
    splits = find_sts_splits(_recipe("quickstart", sts_data=sts_data, sts_score_range=scores))
    measures = [StsMeasure(f"sts_{split}", rows.rows, f"{split} ({rows.name})") for split, rows in splits.items()]

    def measured(model: SentenceTransformer) -> Measured:
        return measure_all(measures, embed_once(model, texts_of(measures), "the model"))

    rivals = {} if reference is None else {"reference": measured(_model_of(reference))}
    return headlines(Judgement(measured(_model_of(variant)), rivals).metrics())


def _model_of(variant: Variant | str | Path) -> SentenceTransformer:
    return variant.model if isinstance(variant, Variant) else load_saved(locate_base(str(variant)).checkpoint)


def save(variant: Variant, folder: str | Path) -> Path:
    """Write a variant to a new folder, for `SentenceTransformer(folder)`: safetensors, and its lineage in pruning.json.

    Args:
        variant: The variant.
        folder: A new or empty folder. After an error it does not exist.

    Returns:
        The folder.

    Raises:
        EncoderError: The folder is not empty, or the disk is full.
    """
    save_sentence_model(variant.model, Path(folder), variant.lineage)
    return Path(folder)


def load(folder: str | Path) -> Variant:
    """Load a saved variant, to train it further or to compare it.

    Args:
        folder: What `save` wrote, or any sentence model.

    Raises:
        EncoderError: It cannot be loaded.
    """
    source = locate_base(str(folder))
    return Variant(load_saved(source.checkpoint), lineage_of(source))


def _recipe(name: str, **settings: Any) -> Recipe:
    """Load a recipe with other values, by the names of the commands' parameters."""
    preset = load_recipe(name)
    paths = {parameter_name(path): path for path in preset.flat()}
    if unknown := sorted(settings.keys() - paths):
        near = get_close_matches(unknown[0], paths, n=1)
        hint = f" Did you mean {near[0]}?" if near else " docs/commands.md lists the settings."
        raise RecipeError(f"{unknown[0]}={settings[unknown[0]]}: there is no such setting.{hint}")
    values = {paths[key]: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    return load_recipe(name, values)
