"""The settings of the phases that heal a cut: NLI, STS and distillation."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_serializer, field_validator

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.values import named_settings

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Frozen, and an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def whole_numbers(value: object, what: str, *, at_least: int = 1) -> object:
    """Numbers with commas between them, or a list of them, as a tuple; what is none of it is told of."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(rf"\s*\d{{1,6}}\s*(,\s*\d{{1,6}}\s*){{{at_least - 1},}}", value):
        raise ValueError(f"write {what}")
    return tuple(int(count) for count in value.split(","))


class PhaseSettings(Settings):
    """What all phases have in common.

    epochs: passes over the rows; may end in a fraction.
    batch_size: rows of a batch.  accumulate: batches of an optimizer step, whose gradients are averaged.
    mini_batch_size: sentences of one forward pass; the gradient is the whole batch's (GradCache, arXiv 2101.06983). None: all at once.
    max_rows: at most so many training rows, drawn by the seed; None takes all.
    warmup_ratio: share of the optimizer steps during which the learning rate rises, 0 to 1.
    evaluate_every: epochs between two looks at the dev score; the end of the phase is always looked at.
    keep: the weights with the best dev score, or the last.  patience: looks without a better score before the phase ends; None: never.
    """

    epochs: float = Field(gt=0, le=1000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0, le=1)
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    max_rows: int | None = Field(default=None, ge=1)
    accumulate: int = Field(default=1, ge=1, le=65_536)
    mini_batch_size: int | None = Field(default=None, ge=1)
    evaluate_every: float = Field(default=1.0, gt=0)
    keep: Literal["best", "last"] = "best"
    patience: int | None = Field(default=None, ge=1)


class TaskSettings(PhaseSettings):
    """What the two phases with labelled rows have in common.

    data: a file, a folder of splits, a hub id ("org/name:config@revision"), or "quickstart" (generated).
        None where the phase is not wanted.
    pooling: set before the phase; None keeps what the model has.
    distillation: weight of the teacher's embeddings beside the labels; 0 learns from the labels alone.
    adaptive_layers: train an earlier layer's exit along, another one each optimizer step (2DMSE, arXiv 2402.14776).
    matryoshka_dims: train the first so many dimensions along (arXiv 2205.13147); None trains the whole embedding only.
    """

    data: Text | None = None
    pooling: Literal["mean", "cls"] | None = None
    distillation: float = Field(default=0.0, ge=0)
    adaptive_layers: bool = False
    matryoshka_dims: tuple[StrictInt, ...] | None = None

    @field_validator("matryoshka_dims", mode="before")
    @classmethod
    def _parse_dims(cls, value: object) -> object:
        return whole_numbers(value, "the numbers of dimensions, such as 128,64")

    @field_validator("matryoshka_dims")
    @classmethod
    def _positive(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 1):
            raise ValueError("write numbers of dimensions from 1 up, such as 128,64")
        return value


class NliSettings(TaskSettings):
    """The first phase. mnrl: MultipleNegativesRankingLoss on triplets; softmax: a 3-way classifier on pairs.

    scale: what mnrl multiplies cosine similarities with (20 in arXiv 2211.11187).
    directions: forward finds the entailment for the premise; both finds the premise for the entailment as well.
    hard_negatives: whether mnrl sees the contradictions; without them only the other rows of a batch are negatives.
    """

    loss: Literal["mnrl", "softmax"] = "mnrl"
    scale: float = Field(default=20.0, gt=0)
    directions: Literal["forward", "both"] = "forward"
    hard_negatives: bool = True


class StsSettings(TaskSettings):
    """The second phase: CosineSimilarityLoss, CoSENTLoss or AnglELoss.

    scale: what cosent and angle multiply similarities with.  score_range: the lowest and highest score of the files; None infers it.
    """

    loss: Literal["cosine", "cosent", "angle"] = "cosine"
    scale: float = Field(default=20.0, gt=0)
    score_range: tuple[float, float] | None = None

    @field_validator("score_range", mode="before")
    @classmethod
    def _parse_range(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*([+-]?[^\s-]+)\s*-\s*([+-]?[^\s-]+)\s*", value)
        if match is None:
            raise ValueError("write a range as LOW-HIGH, such as 0-5")
        return match.groups()

    @field_validator("score_range")
    @classmethod
    def _ascending(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("write the lower end first, such as 0-5")
        return value


REFERENCE_TEACHER = "reference"


class DistilSettings(PhaseSettings):
    """Distillation: the embeddings of a teacher are the target (arXiv 2004.09813).

    teacher: "reference" (the unpruned base after the same recipe), or a model's name, folder or URI.
    data: a text file, one sentence a line, besides the sentences of the other phases' training data; None takes those alone.
    max_rows: at most so many sentences of the file.
    layer_weight: weight of each kept layer's exit against the teacher's layer that it was; 0 compares final embeddings alone.
    """

    teacher: Text = REFERENCE_TEACHER
    data: Text | None = None
    layer_weight: float = Field(default=0.0, ge=0)
    epochs: float = Field(default=1.0, gt=0, le=1000)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-4, gt=0, le=1)


GROUPS: dict[str, type[Settings]] = {"nli": NliSettings, "sts": StsSettings, "distil": DistilSettings}
"""The settings of each phase, by the name of their group in a recipe."""


_TAKEN = ("train", "dev", "test")


class EvaluationSettings(Settings):
    """sts_eval: further STS sets by name: files, folders or data sets of a hub; of several splits the test counts.
    classification: labelled texts by name: folders with train and test, or single files.
    robustness: pairs of the test split that are disturbed, for each kind of disturbance; 0: none.
    mteb: tasks of the installed `mteb`, by its own names, or FILE.py:CLASS, which runs that file.
    """

    sts_eval: dict[str, Text] = Field(default={})
    classification: dict[str, Text] = Field(default={})
    robustness: int = Field(default=500, ge=0)
    mteb: tuple[Text, ...] = ()

    @field_validator("sts_eval", "classification", mode="before")
    @classmethod
    def _parse_names(cls, value: object) -> object:
        try:
            if isinstance(value, dict):
                value = _as_text(value)
            return named_settings(value) if isinstance(value, str) else value or {}
        except RecipeError as error:
            raise ValueError(str(error).removesuffix(".")) from error

    @field_validator("sts_eval")
    @classmethod
    def _names_of_their_own(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in value if name in _TAKEN]:
            raise ValueError(
                f"{taken[0]!r} is the name of a split of sts_data; call the set otherwise, such as other-{taken[0]}"
            )
        return value

    @field_validator("classification")
    @classmethod
    def _no_ends_of_metrics(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in value if name.endswith("_knn")]:
            raise ValueError(f"{taken[0]!r} ends as the metrics of nearest neighbours do; call the set otherwise")
        return value

    @field_serializer("sts_eval", "classification", when_used="json")
    def _as_given(self, value: dict[str, str]) -> str | None:
        return _as_text(value) or None

    @field_validator("mteb", mode="before")
    @classmethod
    def _parse_tasks(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _as_text(settings: dict[str, str]) -> str:
    return ",".join(f"{name}={setting}" for name, setting in settings.items())
