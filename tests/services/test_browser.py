"""MLflow's pages over a real store, read in a browser as a person reads them."""

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Locator, Page, expect

from docs.take_screenshots import CHROMIUM, COLUMNS, PATIENCE_S, Pages, open_page, serve
from tests.quickstart_store import NAME, SIX, THREE, Quickstart
from tests.stores import tags_of

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: apt-get install chromium"),
]
_MOST_SCROLLS = 150

expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def client(quickstart: Quickstart) -> MlflowClient:
    """Of a store with two variants of one recipe; the first of them, version 2, is promoted."""
    return quickstart.client


@pytest.fixture(scope="module")
def pages(client, quickstart: Quickstart):
    with serve(client.tracking_uri) as address:
        yield Pages(address, quickstart.experiment_id)


@pytest.fixture(scope="module")
def page(pages):
    with open_page() as page:
        yield page


@pytest.fixture(scope="module")
def runs(client, quickstart: Quickstart):
    """The two commands' runs, in the order in which they were made."""
    found = client.search_runs(
        [quickstart.experiment_id], "tags.sbert_prune.step = 'full'", order_by=["attributes.start_time ASC"]
    )
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags]


def read_row(page: Page, name: str) -> list[str]:
    """Return the values on a name's line, left to right, after scrolling there: MLflow draws only what is visible."""
    label = page.locator("main").get_by_text(name, exact=True).last
    page.get_by_role("row").first.wait_for()
    for top in range(0, 150 * _MOST_SCROLLS, 150):
        page.evaluate(
            f"[...document.querySelectorAll('main [role=grid]')].slice(-1).forEach(grid => grid.scrollTop = {top})"
        )
        page.wait_for_timeout(100)
        if label.count() and (values := read_line(label)):
            return values
    return []


def read_line(label: Locator) -> list[str]:
    """Return the values on the line of a label. Metrics are in two grids that scroll together."""
    values: list[str] = label.evaluate(
        """label => {
            const group = leaf => leaf.closest("[role=rowgroup]");
            const line = leaf => {
                const box = leaf.getBoundingClientRect();
                return (box.top + box.bottom) / 2 - (group(leaf)?.getBoundingClientRect().top ?? 0);
            };
            const left = leaf => leaf.getBoundingClientRect().left;
            return [...document.querySelectorAll("main *")]
                .filter(leaf => leaf.children.length === 0 && leaf.innerText?.trim())
                .filter(leaf => Boolean(group(leaf)) === Boolean(group(label)))
                .filter(leaf => Math.abs(line(leaf) - line(label)) < 10)
                .filter(leaf => left(leaf) > label.getBoundingClientRect().right)
                .sort((one, other) => left(one) - left(other))
                .map(leaf => leaf.innerText.trim());
        }"""
    )
    return values


def test_the_experiment_opens_in_the_model_training_view_with_our_runs(page, pages):
    page.goto(pages.experiment())

    expect(page.get_by_role("link", name=SIX), "the first variant's run is not listed by its name").to_be_visible()
    expect(page.get_by_role("link", name=THREE), "the second variant's run is not listed by its name").to_be_visible()
    expect(page.get_by_role("heading", name="Runs"), "not the tab of runs").to_be_visible()
    expect(page.get_by_text("Judges", exact=True), "the GenAI view is open").to_have_count(0)


def test_two_runs_compare_side_by_side_by_name(page, pages, runs):
    page.goto(pages.compare([run.info.run_id for run in runs]))

    expect(page.get_by_role("row").filter(has_text="Run Name:")).to_contain_text(SIX)
    assert read_row(page, "Run Name:") == [SIX, THREE]
    assert read_row(page, "recipe.layers") == ["6", "3"]


@pytest.mark.parametrize("metric", COLUMNS)
def test_the_compared_metrics_are_those_in_the_store(page, pages, runs, metric):
    page.goto(pages.compare([run.info.run_id for run in runs]))

    shown = read_row(page, metric)

    assert [float(value) for value in shown] == pytest.approx(
        [run.data.metrics[metric] for run in runs], rel=1e-3, abs=0.0006
    )


def test_a_registered_model_lists_its_versions_with_the_champion(page, pages):
    page.goto(pages.model(NAME))

    for version in ("1", "2", "3"):
        expect(
            page.get_by_role("link", name=f"Version {version}", exact=True), f"version {version} is not listed"
        ).to_be_visible()
    champions = page.get_by_role("row").filter(has_text="@ champion")
    expect(champions, "one version is the champion").to_have_count(1)
    expect(champions).to_contain_text("Version 2")


def test_a_version_shows_its_stage_its_alias_and_its_lineage(page, pages, client):
    page.goto(pages.version(NAME, "2"))

    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    expect(page.get_by_text("@ champion")).to_be_visible()
    expect(page.get_by_text("Production", exact=True).first).to_be_visible()
    for key, value in client.get_model_version(NAME, "2").tags.items():
        row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=key, exact=True))
        expect(row, f"the tag {key} is not shown with its value").to_contain_text(value)


def test_a_logged_model_is_shown_as_registered(page, pages, client):
    """The store was written without a server, which would have recorded it."""
    page.goto(pages.logged_model(tags_of(client, NAME, "2")["sbert_prune.model_id"]))

    expect(page.get_by_text("v2", exact=True).first, "its version is not shown").to_be_visible()
    expect(page.get_by_text("Not registered", exact=True)).to_have_count(0)


def test_the_best_small_variant_is_found_from_the_models_page_to_its_lineage(page, pages, client):
    """As a newcomer does: the table on the page, its smallest model, and the version behind it."""
    smallest = min(
        client.search_model_versions(f"name='{NAME}'"), key=lambda version: float(version.tags["size/disk_mb"])
    )
    page.goto(pages.model(NAME))

    description = page.get_by_test_id("note-editor-preview-content")
    lines = description.get_by_role("row").filter(has_text=" MB")
    expect(lines, "the description shows no table of the versions").to_have_count(3)
    line = lines.filter(has_text=f"{float(smallest.tags['size/disk_mb']):.1f} MB")
    expect(description).to_contain_text("champion is version 2")
    with page.expect_popup() as opened:
        line.get_by_role("link").click()

    version = opened.value
    expect(version.get_by_role("heading", name=f"Version {smallest.version}")).to_be_visible()
    row = version.get_by_role("row").filter(has=version.get_by_role("cell", name="sbert_prune.kept_layers", exact=True))
    expect(row).to_contain_text(smallest.tags["sbert_prune.kept_layers"])
    version.close()
