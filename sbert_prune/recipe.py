"""Everything needed to build a variant again, as one frozen value."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_validator, model_validator

from sbert_prune.errors import RecipeError
from sbert_prune.vocabulary_limit import VocabularyLimit

DEFAULT_POOLING = "mean"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Frozen, and an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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

    data: a file, a folder of splits, or "quickstart" (generated); None where the phase is not wanted.
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
        return _whole_numbers(value, "the numbers of dimensions, such as 128,64")

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


PHASES = ("distil", "nli", "sts")


_NAMES_AND_PLACES = {"device", "registered_model", "name", "convert_pickle", "checkpoint_minutes"}
WHOLE: dict[str, Any] = {"layers": "", "strategy": "drop-top", "schedule": None, "vocabulary": "all", "vocabulary_corpus": None}
"""The settings that make a variant smaller than its base, at what they are for the reference; `layers` is then the depth."""


class Recipe(Settings):
    """A base, the choice of its layers, the phases that heal it, and where the result is registered.

    layers: a count for the strategy ("6") or a list ("0,2,4-7").
    schedule: counts of layers to pass through on the way, the last of them `layers`; the model is healed after each cut. None cuts once.
    vocabulary: "all", a number of pieces ("8000"), or the share of the corpus that the kept pieces cover ("0.999").
    vocabulary_corpus: a text file with one sentence a line; None takes the training texts of both phases.
    convert_pickle: whether a base whose weights are pickled may be read, for its tensors alone.
    phases: what heals a cut, in this order: nli, sts, distil.
    pooling: None keeps what a sentence model was saved with, and takes the mean for a bare encoder.
    checkpoint_minutes: between two checkpoints of a phase; 0 writes one after every optimizer step.
    device: auto, cpu, cuda, cuda:1, mps.  precision: auto takes bfloat16 where the hardware has it; weights stay float32.
    """

    name: Text
    base_model: Text
    layers: Text
    strategy: Text = "drop-top"
    schedule: tuple[StrictInt, ...] | None = None
    vocabulary: Text = "all"
    vocabulary_corpus: Text | None = None
    convert_pickle: bool = False
    pooling: Literal["mean", "cls"] | None = None
    max_seq_length: int = Field(default=128, ge=4, le=100_000)
    phases: tuple[Literal["nli", "sts", "distil"], ...] = ("nli", "sts")
    nli: NliSettings
    sts: StsSettings
    distil: DistilSettings = DistilSettings()
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    seed: int = Field(default=42, ge=0, lt=2**32)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    on_bad_rows: Literal["error", "skip"] = "error"
    registered_model: Text

    @field_validator("layers", "vocabulary", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("schedule", mode="before")
    @classmethod
    def _parse_schedule(cls, value: object) -> object:
        return _whole_numbers(value, "the numbers of layers to pass through, such as 12,9,6", at_least=2)

    @field_validator("phases", mode="before")
    @classmethod
    def _parse_phases(cls, value: object) -> object:
        phases = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(phases, list | tuple) or not phases or not set(phases) <= set(PHASES) or len(set(phases)) < len(phases):
            raise ValueError("write each phase once, in the order in which they run, such as nli,sts or distil,nli,sts")
        return tuple(phases)

    @field_validator("schedule")
    @classmethod
    def _descending(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (list(value) != sorted(set(value), reverse=True) or len(value) < 2 or value[-1] < 1):
            raise ValueError("write two or more numbers of layers, each smaller than the one before, such as 12,9,6")
        return value

    @model_validator(mode="after")
    def _schedule_ends_at_layers(self) -> Self:
        if self.schedule is not None and self.layers != str(self.schedule[-1]):
            listed = ",".join(map(str, self.schedule))
            raise ValueError(f"schedule={listed} ends at {self.schedule[-1]} layers, and layers={self.layers}: leave layers out")
        return self

    @field_validator("vocabulary")
    @classmethod
    def _canonical_limit(cls, value: str) -> str:
        try:
            return str(VocabularyLimit.parse(value))
        except RecipeError as error:
            raise ValueError(str(error).partition(": ")[2]) from error

    @property
    def vocabulary_limit(self) -> VocabularyLimit:
        """How far to trim the vocabulary, as a value."""
        return VocabularyLimit.parse(self.vocabulary)

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
            raise ValueError("write auto, cpu, mps, cuda, or one of several such as cuda:1")
        return value

    @field_validator("registered_model")
    @classmethod
    def _fit_for_the_registry(cls, value: str) -> str:
        if not re.fullmatch(r"[\w .-]{1,200}", value):
            raise ValueError("use up to 200 letters, digits, spaces, dots, dashes and underscores")
        return value

    @cached_property
    def digest(self) -> str:
        """Names the recipe: the same settings, the same digest (sha256, 16 hex digits). Where it runs and is registered do not count."""
        return self._digest(exclude=_NAMES_AND_PLACES)

    @cached_property
    def reference_digest(self) -> str:
        """Names what a variant shares with its reference: all but what makes it smaller, and who teaches it."""
        return self.of_reference(0).digest

    @property
    def has_teacher(self) -> bool:
        """Whether any phase looks at a teacher's embeddings."""
        return any(phase == "distil" or getattr(self, phase).distillation > 0 for phase in self.phases)

    def _digest(self, exclude: set[str]) -> str:
        canonical = json.dumps(self.model_dump(mode="json", exclude=exclude), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def flat(self) -> dict[str, str]:
        """The recipe as flat parameters for a table of runs: {"nli.epochs": "1.0", ...}."""
        return _flatten(self.model_dump(mode="json"))

    def of_reference(self, depth: int) -> Self:
        """The same recipe for the whole base: every layer, every piece, the labels alone.

        Nothing but distillation leaves no phase for the whole base; then it is healed by nli and sts if it is to teach, and stays as it is
        if somebody else does.
        """
        phases = tuple(phase for phase in self.phases if phase != "distil")
        if not phases and self.distil.teacher == REFERENCE_TEACHER:
            phases = ("nli", "sts")
        labelled = {group: getattr(self, group).model_copy(update={"distillation": 0.0}) for group in ("nli", "sts")}
        whole = WHOLE | {"layers": str(depth), "phases": phases, "distil": DistilSettings()} | labelled
        # Not model_copy: it would carry the cached digests along.
        return type(self).model_construct(**(dict(self) | whole))


GROUPS: dict[str, type[Settings]] = {"nli": NliSettings, "sts": StsSettings, "distil": DistilSettings}
"""The settings of each phase, by the name of their group in a recipe."""


def _whole_numbers(value: object, what: str, *, at_least: int = 1) -> object:
    """Numbers with commas between them, as a tuple; what is none of it is told of."""
    if value is None or isinstance(value, list | tuple):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(rf"\s*\d{{1,6}}\s*(,\s*\d{{1,6}}\s*){{{at_least - 1},}}", value):
        raise ValueError(f"write {what}")
    return tuple(int(count) for count in value.split(","))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: _as_parameter(value)}
    return flat


def _as_parameter(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
