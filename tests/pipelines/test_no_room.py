"""A machine without a place for temporary files."""

import tempfile

from tests.in_process import call


def test_a_temporary_folder_that_cannot_be_used_is_told(tmp_path, monkeypatch):
    """Root may write everywhere, so that a file stands in the folder's place, and every other candidate is taken away."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])

    done = call(tmp_path, "full", "--plan", "true")

    assert done.exit_code == 2, done.output
    assert "There is no disk space for temporary files" in done.stderr
    assert "Set TMPDIR" in done.stderr
