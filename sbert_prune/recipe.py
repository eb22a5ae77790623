"""Everything needed to build a variant again, as one frozen value."""

import hashlib
import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from sbert_prune.errors import RecipeError
from sbert_prune.vocabulary_limit import VocabularyLimit

DEFAULT_POOLING = "mean"

PRESETS = Path(__file__).parent / "recipes"

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
    schedule: tuple[int, ...] | None = None
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
        if not isinstance(value, str):
            return value
        if not re.fullmatch(r"\s*\d{1,6}\s*(,\s*\d{1,6}\s*)+", value):
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


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a preset by name, or the user's own YAML file, and override single values ({"nli.epochs": "2"}).

    Raises RecipeError naming the value, what was expected, and what to do.
    """
    path = _locate(name)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not readable YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"The recipe {path} holds {type(tree).__name__}, not a mapping of settings. Start from one of {PRESETS}.")
    for key, value in (overrides or {}).items():
        _set(tree, key, value)
    if (overrides or {}).get("schedule") and "layers" not in (overrides or {}):
        tree["layers"] = tree["schedule"].rpartition(",")[2].strip()  # a schedule says where it ends
    tree.setdefault("registered_model", f"sbert-{tree.get('name', path.stem)}")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(_explain(error, path)) from error


def _set(tree: dict[str, Any], key: str, value: str) -> None:
    *branches, leaf = key.split(".")
    for branch in branches:
        if not isinstance(tree.setdefault(branch, {}), dict):
            raise RecipeError(f"{parameter_name(key)}={value}: the recipe's {branch} is {tree[branch]!r}, not a group of settings.")
        tree = tree[branch]
    tree[leaf] = value


def presets() -> tuple[str, ...]:
    """The names of the recipes in the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _locate(name: str) -> Path:
    if name in presets():
        return PRESETS / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    near = get_close_matches(name, presets(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"recipe={name}: no such recipe.{hint} Take one of {', '.join(presets())}, or a .yaml file of your own.")


def _explain(error: ValidationError, path: Path) -> str:
    return "\n".join(_explain_one(dict(problem), path) for problem in error.errors())


def _explain_one(problem: dict[str, Any], path: Path) -> str:
    where = [part for part in problem["loc"] if isinstance(part, str)]
    name = parameter_name(".".join(where))
    if problem["type"] == "missing":
        advice = "" if name in {"name", *GROUPS} else f" or as a parameter, -P {name}=..."
        return f"The recipe {path.name} lacks {'.'.join(where)!r}. Give it there{advice or '.'}"
    if problem["type"] == "extra_forbidden":
        fields = _fields_beside(where)
        near = get_close_matches(where[-1], fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(fields)}."
        return f"The recipe {path.name} has an unknown setting {'.'.join(where)!r}.{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not where:  # about several settings at once
        return f"The recipe {path.name}: {message}."
    return f"{name}={problem['input']}: {message[0].lower()}{message[1:]}."


def _fields_beside(where: list[str]) -> list[str]:
    return list(GROUPS.get(where[0], Recipe).model_fields if len(where) > 1 else Recipe.model_fields)


def parameter_name(path: str) -> str:
    """A recipe's setting as users give it: "nli.epochs" is nli_epochs."""
    return path.replace(".", "_")
