"""Cache keys: a step, variant or evaluation whose key is unchanged is not run again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.inputs.data import needs_texts
from sbert_prune.models.lineage import code_version
from sbert_prune.training.batches import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.inputs.base import PruneInputs
    from pipelines.inputs.exam import Exam
    from pipelines.inputs.load import Inputs
    from pipelines.inputs.texts import TrainingTexts
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.training.device import Hardware

_PRUNE_SETTINGS = {"layers", "strategy", "vocabulary", "pooling", "max_seq_length", "seed"}
_EXAM_SETTINGS = {"robustness", "mteb"}


def prune_key(recipe: Recipe, source: SavedModel, layers: str, inputs: PruneInputs, *, trims: bool) -> str:
    """Return the key of a prune step."""
    settings = recipe.model_dump_json(include=_PRUNE_SETTINGS)
    texts = _digests(inputs.texts) if needs_texts(recipe) else []
    return _key("prune", settings, layers, str(trims), source.checkpoint.fingerprint(), _corpus_digest(recipe), *texts)


def phase_key(
    recipe: Recipe, hardware: Hardware, phase: str, source: SavedModel, *, data: Mapping[str, str], taught_by: str
) -> str:
    """Return the key of one phase.

    Args:
        recipe: The recipe.
        hardware: Device type and precision change the result.
        phase: "nli", "sts" or "distil".
        source: The model to train.
        data: Digests of the data, by use.
        taught_by: The teacher's fingerprint and layers; "" without a teacher.
    """
    settings = getattr(recipe, phase).model_dump_json(exclude={"data", "teacher"})
    runs_on = f"{hardware.device.type} {hardware.precision}"
    more = (str(recipe.seed), str(recipe.max_seq_length), runs_on)
    return _key(phase, settings, source.checkpoint.fingerprint(), *data.values(), taught_by, *more)


def variant_key(recipe: Recipe, hardware: Hardware, inputs: Inputs) -> str:
    """Return the key of a variant: its base, data, settings, teacher and seed."""
    settings = json.dumps(recipe.model_settings())
    base = inputs.pruning.base.checkpoint.fingerprint()
    teacher = inputs.teacher.checkpoint.fingerprint() if inputs.teacher else ""
    data = [rows.digest for rows in inputs.splits.values()]
    sentences = inputs.sentences[1].digest if inputs.sentences else ""
    runs_on = f"{hardware.device.type} {hardware.precision}"
    return _key("variant", settings, base, teacher, *data, sentences, _corpus_digest(recipe), runs_on)


def exam_key(recipe: Recipe, exam: Exam) -> str:
    """Return the key of the data and settings of an evaluation."""
    pairs = [f"{name} {rows.digest}" for name, rows in (*exam.splits.items(), *exam.sts.items())]
    labelled = [
        f"{name} {split} {rows.digest}"
        for name, data in exam.classification.items()
        for split, rows in data.splits.items()
    ]
    return _key("exam", recipe.model_dump_json(include=_EXAM_SETTINGS), *pairs, *labelled)


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
