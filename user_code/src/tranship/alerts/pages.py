"""The pages of Dagster's UI that alerts link to."""

from collections.abc import Sequence
from urllib.parse import quote

from tranship.alerts.incidents import Link


def run_page(ui_url: str, run_id: str) -> Link:
    """The page of a run.

    Example:
        >>> run_page("https://dagster.example.com/", "6f1c2a3b").url
        'https://dagster.example.com/runs/6f1c2a3b'
    """
    return Link("Open the run", f"{ui_url.rstrip('/')}/runs/{quote(run_id, safe='')}")


def asset_page(ui_url: str, path: Sequence[str], view: str = "") -> Link:
    """The page of an asset, or one of its views.

    Example:
        >>> asset_page("http://127.0.0.1:3000", ["staging", "Dim Date"], "checks").url
        'http://127.0.0.1:3000/assets/staging/Dim%20Date?view=checks'
    """
    address = "/".join(quote(part, safe="") for part in path)
    query = f"?view={view}" if view else ""
    return Link("Open the asset", f"{ui_url.rstrip('/')}/assets/{address}{query}")


def daemons_page(ui_url: str) -> Link:
    """The page that shows the daemons."""
    return Link("Open the daemons", f"{ui_url.rstrip('/')}/deployment/daemons")


def locations_page(ui_url: str) -> Link:
    """The page that shows the code locations."""
    return Link("Open the code locations", f"{ui_url.rstrip('/')}/deployment/locations")


def automation_page(ui_url: str) -> Link:
    """The page that shows schedules and sensors with their ticks."""
    return Link("Open the automation", f"{ui_url.rstrip('/')}/automation")
