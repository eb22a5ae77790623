"""The small project of the pipelines' tests."""

from tests.pipelines.conftest import _quick, make_project, project, untouched

__all__ = ["_quick", "make_project", "project", "untouched"]
