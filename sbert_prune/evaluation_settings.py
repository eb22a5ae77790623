"""What a model is judged on besides the STS pairs that it is healed with."""

from pydantic import Field, field_serializer, field_validator

from sbert_prune.errors import RecipeError
from sbert_prune.named_settings import named_settings
from sbert_prune.recipe.settings import Settings, Text

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
            raise ValueError(f"{taken[0]!r} is the name of a split of sts_data; call the set otherwise, such as other-{taken[0]}")
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
