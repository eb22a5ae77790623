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
    """What both phases have in common.

    data: a file, a folder of splits, or "quickstart" (generated).
    max_rows: at most so many training rows, drawn by the seed; None takes all.
    warmup_ratio: share of the optimizer steps during which the learning rate rises, 0 to 1.
    """

    data: Text
    epochs: float = Field(gt=0, le=1000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0, le=1)
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    max_rows: int | None = Field(default=None, ge=1)


class NliSettings(PhaseSettings):
    """The first phase. mnrl: MultipleNegativesRankingLoss on triplets; softmax: a 3-way classifier on pairs.

    scale: what mnrl multiplies cosine similarities with (20 in arXiv 2211.11187).
    """

    loss: Literal["mnrl", "softmax"] = "mnrl"
    scale: float = Field(default=20.0, gt=0)


class StsSettings(PhaseSettings):
    """The second phase, with CosineSimilarityLoss. score_range: the lowest and highest score of the files; None infers it."""

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


_NAMES_AND_PLACES = {"device", "registered_model", "name", "convert_pickle"}
WHOLE: dict[str, Any] = {"layers": "", "strategy": "drop-top", "schedule": None, "vocabulary": "all", "vocabulary_corpus": None}
"""The settings that make a variant smaller than its base, at what they are for the reference; `layers` is then the depth."""


class Recipe(Settings):
    """A base, the choice of its layers, both phases, and where the result is registered.

    layers: a count for the strategy ("6") or a list ("0,2,4-7").
    schedule: counts of layers to pass through on the way, the last of them `layers`; the model is healed after each cut. None cuts once.
    vocabulary: "all", a number of pieces ("8000"), or the share of the corpus that the kept pieces cover ("0.999").
    vocabulary_corpus: a text file with one sentence a line; None takes the training texts of both phases.
    convert_pickle: whether a base whose weights are pickled may be read, for its tensors alone.
    pooling: None keeps what a sentence model was saved with, and takes the mean for a bare encoder.
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
    nli: NliSettings
    sts: StsSettings
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
        if value is None or isinstance(value, list | tuple):
            return value
        if not isinstance(value, str) or not re.fullmatch(r"\s*\d{1,6}\s*(,\s*\d{1,6}\s*)+", value):
            raise ValueError("write the numbers of layers to pass through, such as 12,9,6")
        return tuple(int(count) for count in value.split(","))

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
        """Names what a variant shares with its reference: all but what makes it smaller."""
        return self._digest(exclude=_NAMES_AND_PLACES | set(WHOLE))

    def _digest(self, exclude: set[str]) -> str:
        canonical = json.dumps(self.model_dump(mode="json", exclude=exclude), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def flat(self) -> dict[str, str]:
        """The recipe as flat parameters for a table of runs: {"nli.epochs": "1.0", ...}."""
        return _flatten(self.model_dump(mode="json"))

    def of_reference(self, depth: int) -> Self:
        """The same recipe for the whole base: every layer, every piece."""
        # Not model_copy: it would carry the cached digests along.
        return type(self).model_validate(self.model_dump() | WHOLE | {"layers": str(depth)})


GROUPS: dict[str, type[Settings]] = {"nli": NliSettings, "sts": StsSettings}
"""The settings of each phase, by the name of their group in a recipe."""


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: _as_parameter(value)}
    return flat


def _as_parameter(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
