"""What several tests of the library share."""

import pytest
from hub import Hub, use_hub, wait_for_no_hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on localhost that this process asks, without pauses."""
    wait_for_no_hub(monkeypatch)
    with Hub(tmp_path) as hub:
        use_hub(monkeypatch, hub)
        yield hub
