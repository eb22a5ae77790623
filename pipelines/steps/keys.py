"""Cache keys: a step, variant or evaluation whose key is unchanged is not run again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_prune.inputs.data import needs_texts
from sbert_prune.models.lineage import code_version
from sbert_prune.recipe.recipe import FULL_PRECISION
from sbert_prune.recipe.settings import GROUPS, EvaluationSettings
from sbert_prune.training.batches import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.inputs.base import PruneInputs
    from pipelines.inputs.exam import Exam
    from pipelines.inputs.load import Inputs
    from sbert_prune.inputs.texts import TrainingTexts
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe, SavePrecision
    from sbert_prune.training.device import Hardware

# Keys are made by exclusion: a setting that is not listed here counts. A forgotten one then costs a training, never a
# wrong reuse. What a step reads from its source or its data counts by their content, whatever the settings say.
_BY_CONTENT = ("split", "keep_leaks", "on_bad_rows", "vocabulary_corpus")
_OF_CUTTING = ("layers", "strategy", "schedule", "vocabulary", "pooling")
_OF_TRAINING = (*GROUPS, "phases", "precision", "save_precision")


def prune_key(
    recipe: Recipe,
    source: SavedModel,
    layers: str,
    inputs: PruneInputs,
    *,
    trims: bool,
    save_precision: SavePrecision = FULL_PRECISION,
) -> str:
    """Return the key of a prune step; the recipe's `save_precision` is that of a trained model."""
    irrelevant = (*_OF_TRAINING, *_BY_CONTENT, "layers", "schedule")  # `layers` is what this cut keeps
    settings = _settings(recipe, without=irrelevant)
    texts = _digests(inputs.texts) if needs_texts(recipe) else []
    return _key(
        "prune",
        settings,
        layers,
        str(trims),
        save_precision,
        source.checkpoint.fingerprint(),
        _corpus_digest(recipe),
        *texts,
    )


def phase_key(
    recipe: Recipe, hardware: Hardware, phase: str, source: SavedModel, *, data: Mapping[str, str], taught_by: str
) -> str:
    """Return the key of one phase.

    Args:
        recipe: The recipe.
        hardware: Device type and precision change the result.
        phase: A name in PHASES.
        source: The model to train.
        data: Digests of the data, by use.
        taught_by: The teacher's fingerprint and layers; "" without a teacher.
    """
    others = [other for other in _OF_TRAINING if other != phase]
    settings = _settings(recipe, without=(*others, *_BY_CONTENT, *_OF_CUTTING))
    runs_on = f"{hardware.device.type} {hardware.precision}"
    saved_in = recipe.save_precision_after(phase)
    return _key(phase, settings, saved_in, source.checkpoint.fingerprint(), *data.values(), taught_by, runs_on)


def _settings(recipe: Recipe, *, without: Sequence[str]) -> str:
    """Return the settings that determine the model, except some settings and groups, as text."""
    settings = recipe.model_settings().items()
    return json.dumps({name: value for name, value in settings if name.partition(".")[0] not in without})


def variant_key(recipe: Recipe, hardware: Hardware, inputs: Inputs) -> str:
    """Return the key of a variant: its base, data, settings, teacher and seed."""
    settings = _settings(recipe, without=())
    base = inputs.pruning.base.checkpoint.fingerprint()
    teacher = inputs.teacher.checkpoint.fingerprint() if inputs.teacher else ""
    data = [rows.digest for rows in inputs.splits.values()]
    sentences = inputs.texts.sentences.digest if inputs.texts.sentences else ""
    runs_on = f"{hardware.device.type} {hardware.precision}"
    return _key("variant", settings, base, teacher, *data, sentences, _corpus_digest(recipe), runs_on)


_DATA_OF_THE_EXAM = {"sts_eval", "classification"}  # they count by their content


def exam_key(recipe: Recipe, exam: Exam) -> str:
    """Return the key of the data and settings of an evaluation."""
    pairs = [f"{name} {rows.digest}" for name, rows in (*exam.splits.items(), *exam.sts.items())]
    labelled = [
        f"{name} {split} {rows.digest}"
        for name, data in exam.classification.items()
        for split, rows in data.splits.items()
    ]
    settings = recipe.model_dump_json(include=set(EvaluationSettings.model_fields) - _DATA_OF_THE_EXAM)
    return _key("exam", settings, *pairs, *labelled)


EXAM_TAGS = ("sts_dev_digest", "sts_test_digest", "exam_key")
"""The tags of a version, and of an evaluation's run, that say what the model was evaluated on."""


def exam_tags(recipe: Recipe, exam: Exam) -> dict[str, str]:
    """Return the tags that say what a model was evaluated on: digests of the pairs, and the key of everything."""
    digests = {f"sts_{split}_digest": rows.digest[:16] for split, rows in exam.splits.items()}
    return digests | {"exam_key": exam_key(recipe, exam)}


def judgement_key(recipe: Recipe, exam: Exam, source: SavedModel, rivals: Mapping[str, SavedModel]) -> str:
    """Return the key of the evaluation of one model beside its rivals."""
    compared_with = [f"{name} {rival.checkpoint.fingerprint()}" for name, rival in rivals.items()]
    bare_encoder = "" if source.is_sentence_model else f"{recipe.pooling} {recipe.max_seq_length}"
    return _key("evaluate", exam_key(recipe, exam), source.checkpoint.fingerprint(), bare_encoder, *compared_with)


def _key(*parts: str) -> str:
    return digest_of(*parts, code_version())[:32]


def _digests(texts: TrainingTexts | None) -> list[str]:
    """Return the digests of the texts that choosing layers and trimming depend on."""
    if texts is None:
        return []
    return [rows.digest for rows in (texts.nli, texts.sts.train, texts.sts.dev) if rows is not None]


def _corpus_digest(recipe: Recipe) -> str:
    if recipe.vocabulary_corpus is None:
        return ""
    with Path(recipe.vocabulary_corpus).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
