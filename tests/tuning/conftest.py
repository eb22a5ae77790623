"""The small project of the pipelines' tests."""

from tests.pipelines.conftest import _quick_speed, project, uri

__all__ = ["_quick_speed", "project", "uri"]
