"""An MLflow server that can be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


class Server:
    """An MLflow server over a SQLite file, which can be killed and started again at the same address."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it where it does not run, and wait until it answers."""
        if self.process is not None:
            return
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            f"sqlite:///{self.folder / 'server.db'}",
        ]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | settings
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=settings, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        for _ in range(900):
            try:
                urlopen(f"{self.address}/health", timeout=5).close()
                return
            except (URLError, OSError):
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.2)
        raise AssertionError("mlflow server did not answer within three minutes")

    def kill(self) -> None:
        """Kill it and its workers as a machine that goes down does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
