"""The small project of the pipelines' tests, with a base of six layers: of three there is little to choose."""

import multiprocessing
from functools import partial

import pytest

from tests.commands import PRELOADED
from tests.pipelines.conftest import _quick, copy_project, fill_project, project, store_with, untouched, uri
from tests.stores import made_once
from tuning.workers import _start_server_ignoring_terminals

__all__ = ["_quick", "project", "store_with", "untouched", "uri"]


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory):
    """A function that makes a project of a folder."""
    return partial(copy_project, made_once(tmp_path_factory, "deeper project", partial(fill_project, depth=6)))


@pytest.fixture(autouse=True, scope="session")
def _one_fork_server():
    """A process has one fork server: workers of a search and commands of other tests find the same imports there."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    _start_server_ignoring_terminals()
