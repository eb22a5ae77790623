"""The layers of a teacher that a student learns from, one by one."""

from sbert_prune.errors import RecipeError
from sbert_prune.models.lineage import Lineage
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.recipe.recipe import Recipe


def teacher_layers(recipe: Recipe, student: Lineage, teacher: SavedModel) -> tuple[int, ...]:
    """Return the teacher's layers that correspond to the student's.

    Raises:
        RecipeError: The teacher does not have these layers of the same base.
    """
    of_teacher = lineage_of(teacher)
    same = of_teacher.base.depth == student.base.depth and set(student.kept_layers) <= set(of_teacher.kept_layers)
    if not same:
        raise RecipeError(
            f"distil_layer_weight={recipe.distil.layer_weight}: the teacher {teacher.uri} has the layers "
            f"{of_teacher.selection} of {of_teacher.base.depth}, the student {student.selection} of "
            f"{student.base.depth}: they cannot be compared one by one. "
            "Take the reference as the teacher, or leave distil_layer_weight out."
        )
    return tuple(of_teacher.kept_layers.index(layer) for layer in student.kept_layers)
