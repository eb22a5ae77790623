"""The small project of the pipelines' tests, and the quickstart's store."""

from tests.pipelines.conftest import _quick, make_project, project, untouched
from tests.quickstart_store import quickstart

__all__ = ["_quick", "make_project", "project", "quickstart", "untouched"]
