"""The settings of the training phases (NLI, STS, distillation) and of the evaluation."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_serializer, field_validator

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.values import named_settings

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Base class of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def whole_numbers(value: object, what: str, *, at_least: int = 1) -> object:
    """Parse comma-separated numbers or a list of numbers to a tuple. Raises ValueError saying to write `what`."""
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
    """The settings of every phase.

    Attributes:
        epochs: Passes over the rows; can be fractional.
        batch_size: Rows per batch.
        learning_rate: The peak learning rate.
        warmup_ratio: Share of the optimizer steps during which the learning rate rises, 0 to 1.
        max_rows: Maximum number of training rows, sampled with the seed; None uses all.
        accumulate: Batches per optimizer step, whose gradients are averaged.
        mini_batch_size: Sentences per forward pass; the gradient is that of the whole batch (GradCache, arXiv
            2101.06983). None runs all at once.
        evaluate_every: Epochs between two evaluations on dev; the end of the phase is always evaluated.
        keep: Which weights to keep: those with the best dev score, or the last.
        patience: Number of evaluations without a better score after which the phase ends; None never ends it early.
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
    """The settings of the two phases with labelled rows.

    Attributes:
        data: A file, a folder of splits, a hub id ("org/name:config@revision"), or "quickstart" (generated). None if
            the phase is not used.
        pooling: Pooling to set before the phase; None keeps that of the model.
        distillation: Weight of the teacher's embeddings relative to the labels; 0 uses only the labels.
        adaptive_layers: Also train the exit of an earlier layer, a different one in each optimizer step (2DMSE, arXiv
            2402.14776).
        matryoshka_dims: Also train these numbers of leading dimensions (arXiv 2205.13147); None trains only the whole
            embedding.
    """

    layer_weight: ClassVar[float] = 0.0
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
    """The settings of the NLI phase.

    Attributes:
        loss: mnrl is MultipleNegativesRankingLoss on triplets; softmax is a 3-way classifier on pairs.
        scale: Factor of the cosine similarities in mnrl (20 in arXiv 2211.11187).
        directions: forward finds the entailment for the premise; both also finds the premise for the entailment.
        hard_negatives: Whether mnrl uses the contradictions; otherwise only the other rows of a batch are negatives.
    """

    loss: Literal["mnrl", "softmax"] = "mnrl"
    scale: float = Field(default=20.0, gt=0)
    directions: Literal["forward", "both"] = "forward"
    hard_negatives: bool = True


class StsSettings(TaskSettings):
    """The settings of the STS phase.

    Attributes:
        loss: CosineSimilarityLoss, CoSENTLoss or AnglELoss.
        scale: Factor of the similarities in cosent and angle.
        score_range: Lowest and highest score of the files; None infers it.
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
    """The settings of distillation: the embeddings of a teacher are the target (arXiv 2004.09813).

    Attributes:
        teacher: "reference" (the unpruned base after the same recipe), or the name, folder or URI of a model.
        data: A text file with one sentence per line, used in addition to the sentences of the other phases' training
            data; None uses only those.
        max_rows: Maximum number of sentences of the file.
        layer_weight: Weight of the loss between each kept layer and the same layer of the teacher; 0 compares only
            final embeddings.
    """

    loss: ClassVar[str] = "none"
    pooling: ClassVar[None] = None
    distillation: ClassVar[float] = 1.0
    adaptive_layers: ClassVar[bool] = False
    matryoshka_dims: ClassVar[None] = None
    teacher: Text = REFERENCE_TEACHER
    data: Text | None = None
    layer_weight: float = Field(default=0.0, ge=0)
    epochs: float = Field(default=1.0, gt=0, le=1000)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-4, gt=0, le=1)


AnyPhaseSettings = NliSettings | StsSettings | DistilSettings

GROUPS: dict[str, type[Settings]] = {"nli": NliSettings, "sts": StsSettings, "distil": DistilSettings}
"""The settings of each phase, by the name of its group in a recipe."""

LABELLED = tuple(name for name, settings in GROUPS.items() if issubclass(settings, TaskSettings))
"""The phases with labels."""


_RESERVED_NAMES = ("train", "dev", "test")


class EvaluationSettings(Settings):
    """The settings of the evaluation.

    Attributes:
        sts_eval: Further STS sets by name: files, folders or data sets of a hub; of several splits, test is used.
        classification: Labelled texts by name: folders with train and test, or single files.
        robustness: Number of pairs of the test split to change for each kind of change; 0 disables it.
        mteb: Tasks of the installed `mteb` by its names, or FILE.py:CLASS, which runs that file.
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
    def _no_reserved_names(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in value if name in _RESERVED_NAMES]:
            raise ValueError(
                f"{taken[0]!r} is the name of a split of sts_data; call the set otherwise, such as other-{taken[0]}"
            )
        return value

    @field_validator("classification")
    @classmethod
    def _no_knn_suffix(cls, value: dict[str, str]) -> dict[str, str]:
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
