"""What several tests of the library share."""

import pytest
from hub import Hub, use_hub

from sbert_prune.hub import patience


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on localhost that this process asks, without long waits."""
    monkeypatch.setattr(patience, "WAITS_S", (0.01, 0.02, 0.03))
    with Hub(tmp_path) as hub:
        use_hub(monkeypatch, hub)
        yield hub
