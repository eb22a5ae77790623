"""Whom a student learns from, and which of the teacher's layers its own layers were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.inputs.base import find_given_teacher
from sbert_prune.errors import RecipeError
from sbert_prune.models.saved_model import lineage_of

if TYPE_CHECKING:
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe


def find_teacher(recipe: Recipe) -> SavedModel | None:
    """The teacher of a single step; None where nobody teaches. Raises RecipeError for "reference": one step alone has none."""
    given = find_given_teacher(recipe)
    if given is None and recipe.has_teacher:
        raise RecipeError(
            f"distil_teacher={recipe.distil.teacher}: a step alone has no reference. Give a model, such as models:/NAME/1; "
            "`full` trains the reference and learns from it."
        )
    return given


def check_teacher(recipe: Recipe, base: SavedModel, selection: LayerSelection | None, teacher: SavedModel | None) -> None:
    """Refuse early a given teacher that a student of this base cannot follow layer by layer. selection: None while it is to be measured."""
    if teacher is not None:
        origin = lineage_of(base)
        teacher_layers(recipe, origin if selection is None else origin.after_cut(selection, strategy=recipe.strategy), teacher)


def teacher_layers(recipe: Recipe, student: Lineage, teacher: SavedModel) -> tuple[int, ...] | None:
    """The teacher's layers that the student's were, to be followed one by one; None where the recipe does not ask for it.

    Raises RecipeError for a teacher that is not made of the same base's layers.
    """
    if recipe.distil.layer_weight == 0 or "distil" not in recipe.phases:
        return None
    of_teacher = lineage_of(teacher)
    same = of_teacher.base.depth == student.base.depth and set(student.kept_layers) <= set(of_teacher.kept_layers)
    if not same:
        raise RecipeError(
            f"distil_layer_weight={recipe.distil.layer_weight}: the teacher {teacher.uri} has the layers {of_teacher.selection} of "
            f"{of_teacher.base.depth}, the student {student.selection} of {student.base.depth}: they cannot be compared one by one. "
            "Take the reference as the teacher, or leave distil_layer_weight out."
        )
    return tuple(of_teacher.kept_layers.index(layer) for layer in student.kept_layers)
