"""The UI in a real browser: a newcomer opens it, launches the job from the launchpad and watches it succeed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_stack import ComposeStack
from playwright.sync_api import Page, expect, sync_playwright

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
RUN_MILLISECONDS = 90_000


@pytest.fixture(scope="module")
def chromium() -> str:
    """The system's own browser: Playwright's would have to be downloaded."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = "no Chromium: apt-get install chromium"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A page of a browser that talks to nobody but the stack."""
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def test_the_job_is_launched_from_the_launchpad_and_seen_to_succeed(
    stack: ComposeStack, page: Page, tmp_path: Path
):
    page.goto(f"{stack.graphql.removesuffix('/graphql')}/locations/etl/jobs/run_etl_job/playground")
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*", timeout=30_000)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=RUN_MILLISECONDS)
    expect(page.get_by_text("load_table[dbo_FactInternetSales]").first).to_be_visible()
    _give_room_to_the_timeline(page)
    picture = Path(os.environ.get("TRANSHIP_SCREENSHOT") or tmp_path / "run.png")
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000


def _give_room_to_the_timeline(page: Page) -> None:
    """Drag the border between the steps' timeline and the events down, as one does to see all steps."""
    events = page.get_by_role("button", name="Events").bounding_box()
    assert events is not None
    page.mouse.move(events["x"] + 400, events["y"] - 13)
    page.mouse.down()
    page.mouse.move(events["x"] + 400, events["y"] + 270, steps=5)
    page.mouse.up()
    page.mouse.move(events["x"], 20)
    page.wait_for_timeout(500)
