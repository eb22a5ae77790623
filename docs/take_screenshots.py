"""Take the screenshots in docs/images: a store in MLflow's pages, in headless Chromium.

    python docs/take_screenshots.py sqlite:////tmp/sbert-prune/mlflow.db docs/images

tests/services opens the same pages with `serve`, `open_page` and `Pages`, so a page that MLflow moves breaks a test.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

import click
from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# Without these flags Chromium sends requests that a closed network refuses; there is no sandbox for root.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_S = 60
WIDTH = 1400
COLUMNS = ("sts_test/spearman_cosine", "quality/retention", "size/disk_mb", "speed/speedup")
"""The metrics in the screenshots: quality, retention, size, speed."""


@click.command()
@click.argument("store_uri")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--registered-model", default="sbert-quickstart", show_default=True)
def main(store_uri: str, folder: Path, registered_model: str) -> None:
    """Write experiment.png, compare.png, model.png and version.png to FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    experiment_id, run_ids, champion = read_store(store_uri, registered_model)
    with serve(store_uri) as address, open_page() as page:
        pages = Pages(address, experiment_id)
        show_experiment(page, pages)
        page.screenshot(path=folder / "experiment.png", animations="disabled")
        show_comparison(page, pages, run_ids)
        page.screenshot(path=folder / "compare.png", animations="disabled")
        show_version(page, pages, registered_model, champion)
        page.screenshot(path=folder / "version.png", animations="disabled")
        show_model(page, pages, registered_model)
        page.screenshot(path=folder / "model.png", animations="disabled")


def read_store(store_uri: str, registered_model: str) -> tuple[str, list[str], str]:
    """Return the experiment of the champion, the ids of its two newest runs of `full`, and the champion's number."""
    from mlflow import MlflowClient

    client = MlflowClient(store_uri)
    champion = client.get_model_version_by_alias(registered_model, "champion")
    experiment_id = str(client.get_run(champion.run_id).info.experiment_id)
    runs = client.search_runs(
        [experiment_id], "tags.sbert_prune.step = 'full'", order_by=["attributes.start_time DESC"]
    )
    parents = [run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return experiment_id, parents[:2], champion.version


@dataclass(frozen=True)
class Pages:
    """The addresses of MLflow's pages.

    Without the workflow type, MLflow 3.17 opens its GenAI view, whatever the kind of experiment.
    """

    server: str
    experiment_id: str

    def experiment(self) -> str:
        """Return the address of the experiment, without a tab."""
        return self._view(f"experiments/{self.experiment_id}")

    def compare(self, run_ids: Sequence[str]) -> str:
        """Return the address of a comparison of runs."""
        return self._view(
            f"compare-runs?runs={json.dumps(list(run_ids))}&experiments={json.dumps([self.experiment_id])}"
        )

    def model(self, name: str) -> str:
        """Return the address of a registered model."""
        return self._view(f"models/{name}")

    def version(self, name: str, version: str) -> str:
        """Return the address of one version."""
        return self._view(f"models/{name}/versions/{version}")

    def logged_model(self, model_id: str) -> str:
        """Return the address of a logged model."""
        return self._view(f"experiments/{self.experiment_id}/models/{model_id}")

    def _view(self, path: str) -> str:
        return f"{self.server}/#/{path}{'&' if '?' in path else '?'}workflowType=machine_learning"


@contextmanager
def serve(store_uri: str) -> Iterator[str]:
    """Run an MLflow server for a store on a free port of this machine; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with TemporaryDirectory() as folder, (Path(folder) / "server.log").open("w+") as log:
        server = subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not answers(f"http://127.0.0.1:{port}", server):
                raise RuntimeError(
                    f"mlflow server did not answer within {PATIENCE_S} s:\n{Path(log.name).read_text()[-2000:]}"
                )
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def answers(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Return whether a starting server answers in time, without ending first."""
    deadline = time.monotonic() + PATIENCE_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(0.2)
    return False


@contextmanager
def open_page() -> Iterator[Page]:
    """Open a page in a new headless Chromium, in light colors and with MLflow's assistant closed."""
    closed = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", "mlflow.assistant.panelOpen_v1": "false"}
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS) as browser,
    ):
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.set_default_timeout(PATIENCE_S * 1000)
        page.add_init_script(
            f"Object.entries({json.dumps(closed)}).forEach(([key, value]) => localStorage.setItem(key, value))"
        )
        yield page


def show_experiment(page: Page, pages: Pages) -> None:
    """Show the table of runs with our columns; by default MLflow hides every metric."""
    page.goto(pages.experiment())
    page.get_by_role("link", name="full L").first.wait_for()
    page.get_by_role("button", name="Toggle sidebar").click()
    page.get_by_role("button", name="Columns").click()
    for name in ("Dataset", "Source", "Models", *COLUMNS):
        page.get_by_title(name, exact=True).click()
    page.keyboard.press("Escape")
    for name in ("attributes.`Run Name`", *(f"metrics.`{name}`" for name in COLUMNS)):
        widen(
            page, page.locator(f'.ag-header-cell[col-id="{name}"] .ag-header-cell-resize'), 100 if "sts" in name else 60
        )
    resize(page, 420)


def resize(page: Page, height: int) -> None:
    """Set the height of the window and move the pointer out of the way."""
    page.mouse.move(0, 0)
    page.set_viewport_size({"width": WIDTH, "height": height})


def widen(page: Page, edge: Locator, pixels: int) -> None:
    """Drag a column's edge to the right."""
    edge.hover()
    box = edge.bounding_box() or {}
    page.mouse.move(box["x"] + 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 + pixels, box["y"] + 5, steps=5)
    page.mouse.up()


def show_comparison(page: Page, pages: Pages, run_ids: Sequence[str]) -> None:
    """Show two runs with the differences of their parameters and metrics."""
    resize(page, 1060)  # the metrics are below the parameters
    page.goto(pages.compare(run_ids))
    page.get_by_role("button", name="Visualizations").click()
    for switch in page.get_by_role("switch").all()[:2]:
        switch.click()
    page.get_by_text("quality/retention", exact=True).wait_for()


def show_model(page: Page, pages: Pages, name: str) -> None:
    """Show a registered model with its versions and stages, in the old table: the new one fills a screen with tags."""
    resize(page, 620)
    page.goto(pages.model(name))
    page.get_by_role("switch").click()
    page.get_by_role("button", name="Disable").click()
    page.reload()  # the setting of the switch is saved; this closes the dialog
    page.get_by_role("columnheader", name="Stage").wait_for()
    page.get_by_role("link", name="Version 1").wait_for()


def show_version(page: Page, pages: Pages, name: str, version: str) -> None:
    """Show one version with its alias, its stage and its tags."""
    resize(page, 860)
    page.goto(pages.version(name, version))
    page.get_by_role("cell", name="sbert_prune.kept_layers").scroll_into_view_if_needed()


if __name__ == "__main__":
    main()
