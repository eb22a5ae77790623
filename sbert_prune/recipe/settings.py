"""The settings of the training phases (NLI, STS, distillation) and of the evaluation."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_serializer, field_validator

from sbert_prune.errors import RecipeError
from sbert_prune.losses import LOSSES
from sbert_prune.recipe.values import OneOf, Varies, named_settings

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Base class of settings: frozen, and unknown keys are errors.

    Each field describes itself: its help, its bounds, and whether a search may vary it. The options of the commands,
    docs/commands.md and the axes of the search follow from that.
    """

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


Epochs = Annotated[
    float,
    Field(gt=0, le=1000, description="Passes over the rows; a fraction such as 0.5 is possible."),
    Varies(log=True),
]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="Rows in a batch."), Varies(log=True, choices=True)]
LearningRate = Annotated[float, Field(gt=0, le=1, description="Highest learning rate."), Varies(log=True)]


class PhaseSettings(Settings):
    """The settings of every phase."""

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate
    warmup_ratio: Annotated[float, Varies()] = Field(
        default=0.1, ge=0, le=1, description="Share of the optimizer steps in which the learning rate rises."
    )
    max_rows: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of training rows, drawn by the seed (NLI: whole premises); all when left out.",
    )
    accumulate: int = Field(
        default=1, ge=1, le=65_536, description="Batches in an optimizer step; their gradients are averaged."
    )
    mini_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Sentences in one forward pass: large batches in little memory, with the gradient of the whole "
        "batch (GradCache, arXiv 2101.06983); all at once when left out.",
    )
    evaluate_every: float = Field(
        default=1.0, gt=0, description="Epochs between two evaluations on dev; the end is always evaluated."
    )
    keep: Literal["best", "last"] = Field(
        default="best", description="The weights to keep: best (by dev score) or last."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Evaluations on dev without a better score after which the phase ends; never early when left out.",
    )


class TaskSettings(PhaseSettings):
    """The settings of the two phases with labelled rows."""

    layer_weight: ClassVar[float] = 0.0
    data: Text | None = None
    pooling: Annotated[Literal["mean", "cls"] | None, Varies(choices=True)] = Field(
        default=None, description="mean or cls, set before the phase; unchanged when left out."
    )
    distillation: Annotated[float, Varies()] = Field(
        default=0.0, ge=0, description="Weight of the teacher's embeddings beside the labels; 0 uses only the labels."
    )
    adaptive_layers: bool = Field(
        default=False,
        description="true trains the output of an earlier layer as well, of another one in each optimizer step (2DMSE, "
        "arXiv 2402.14776).",
    )
    matryoshka_dims: tuple[StrictInt, ...] | None = Field(
        default=None,
        description="Shorter embeddings to train as well, by their number of leading dimensions, such as 128,64 (arXiv "
        "2205.13147); only the whole embedding when left out.",
    )

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


def _loss(phase: str) -> Any:
    """Return the field that chooses one of the losses of a phase; the first is the default."""
    rows = LOSSES[phase]
    return Field(
        default=next(iter(rows)), description="; ".join(f"{name}: {loss.help}" for name, loss in rows.items()) + "."
    )


class NliSettings(TaskSettings):
    """The settings of the NLI phase."""

    data: Text | None = Field(
        default=None,
        description="Premises, hypotheses and labels: a file, a folder with train.*, a hub id "
        "(org/name:config@revision), or quickstart.",
    )
    loss: Annotated[str, OneOf(tuple(LOSSES["nli"])), Varies(choices=True)] = _loss("nli")
    scale: Annotated[float, Varies(log=True)] = Field(
        default=20.0, gt=0, description="Factor of the cosine similarities in mnrl."
    )
    directions: Annotated[Literal["forward", "both"], Varies(choices=True)] = Field(
        default="forward",
        description="forward finds the entailment for the premise; both finds the premise for the entailment as well.",
    )
    hard_negatives: Annotated[bool, Varies(choices=True)] = Field(
        default=True,
        description="true uses contradictions as negatives of mnrl; false uses only the other rows of the batch.",
    )


class StsSettings(TaskSettings):
    """The settings of the STS phase."""

    data: Text | None = Field(
        default=None,
        description="Sentence pairs and scores: a file, a folder of train.*, dev.*, test.*, a hub id "
        "(org/name:config@revision), or quickstart.",
    )
    loss: Annotated[str, OneOf(tuple(LOSSES["sts"])), Varies(choices=True)] = _loss("sts")
    scale: Annotated[float, Varies(log=True)] = Field(
        default=20.0, gt=0, description="Factor of the similarities in cosent and angle."
    )
    score_range: tuple[float, float] | None = Field(
        default=None,
        description="Lowest and highest score of the STS files, such as 0-5; found from the scores when left out.",
    )

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
    """The settings of distillation: the embeddings of a teacher are the target (arXiv 2004.09813)."""

    loss: ClassVar[str] = "none"
    pooling: ClassVar[None] = None
    distillation: ClassVar[float] = 1.0
    adaptive_layers: ClassVar[bool] = False
    matryoshka_dims: ClassVar[None] = None
    teacher: Text = Field(
        default=REFERENCE_TEACHER,
        description="reference (the unpruned base after the same recipe), or a model: a folder, a name, a hub id, or a "
        "runs:/ or models:/ URI.",
    )
    data: Text | None = Field(
        default=None,
        description="Text, one sentence a line, to distil on besides the sentences of the other phases' training data.",
    )
    layer_weight: Annotated[float, Varies()] = Field(
        default=0.0,
        ge=0,
        description="Weight of the loss between each kept layer and the same layer of the teacher; 0 compares only "
        "final embeddings.",
    )
    epochs: Epochs = 1.0
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 2e-4
    max_rows: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of sentences of the file, drawn by the seed; all when left out.",
    )


AnyPhaseSettings = NliSettings | StsSettings | DistilSettings

GROUPS: dict[str, type[Settings]] = {"nli": NliSettings, "sts": StsSettings, "distil": DistilSettings}
"""The settings of each phase, by the name of its group in a recipe."""

LABELLED = tuple(name for name, settings in GROUPS.items() if issubclass(settings, TaskSettings))
"""The phases with labels."""


_RESERVED_NAMES = ("train", "dev", "test")


class EvaluationSettings(Settings):
    """The settings of the evaluation."""

    sts_eval: dict[str, Text] = Field(
        default={},
        description="Further STS sets to evaluate on, files, folders or hub ids: NAME=FILE,OTHER=FOLDER. Of several "
        "splits, test is used.",
    )
    classification: dict[str, Text] = Field(
        default={},
        description="Labelled texts to evaluate on, folders with train.* and test.*, or single files: "
        "NAME=FOLDER,OTHER=FILE.",
    )
    robustness: int = Field(
        default=500, ge=0, description="Test pairs to disturb, for each kind of disturbance; 0 for none."
    )
    mteb: tuple[Text, ...] = Field(
        default=(),
        description="Tasks of the installed mteb to evaluate on, TASK,TASK; FILE.py:CLASS runs your own.",
    )

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
