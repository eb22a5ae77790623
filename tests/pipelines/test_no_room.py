"""A machine without a place for temporary files."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_temporary_folder_that_cannot_be_used_is_told(tmp_path):
    """Root may write everywhere, so that a file stands in the folder's place, and every other candidate is taken away."""
    code = (
        "import tempfile, sys; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']; "
        "from pipelines.__main__ import main; main(['full', '--plan', 'true'])"
    )

    here = {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | here)

    assert done.returncode == 2, done.stderr
    assert "There is no room for temporary files" in done.stderr
    assert "Set TMPDIR" in done.stderr
