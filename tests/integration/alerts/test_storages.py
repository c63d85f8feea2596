"""Alerts follow runs and checks in every storage that Dagster has: in memory, on disk, and in Postgres."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from alert_receivers import WebhookServer

from tranship.alerts.sensors import RUNS_SENSOR

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(params=["memory", "disk", "postgres"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with each storage; the stack's is Postgres."""
    if request.param == "memory":
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance
        return
    settings: dict[str, object] = {"telemetry": {"enabled": False}}
    if request.param == "postgres":
        server = request.getfixturevalue("embedded_postgres")
        url = server.create_database(f"dagster_{secrets.token_hex(4)}")
        settings["storage"] = {"postgres": {"postgres_url": url}}
    (tmp_path / "dagster.yaml").write_text(json.dumps(settings))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_a_failure_a_check_and_their_ends_are_told_once_each(
    webhook: WebhookServer, instance: dg.DagsterInstance, ticks
):
    state = {"broken": True}

    @dg.asset(key=["staging", "DimDate"])
    def staged() -> None:
        if state["broken"]:
            raise dg.Failure("No such table: dbo.DimDate.")

    @dg.asset(check_specs=[dg.AssetCheckSpec("complete", asset="sales")])
    def sales() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=not state["broken"])])

    definitions = dg.Definitions(assets=[staged, sales], jobs=[dg.define_asset_job("daily")])
    job = definitions.get_repository_def().get_job("daily")
    tick = ticks(RUNS_SENSOR, definitions)
    tick()
    for broken in (True, True, False, False):
        state["broken"] = broken
        job.execute_in_process(QUIET, instance=instance, raise_on_error=False)
        tick()
        tick()
    assert sorted(body["text"] for body in webhook.bodies) == [
        "🔴 Check failed: complete of sales",
        "🔴 Failed: staging/DimDate",
        "🟢 Check passes again: complete of sales",
        "🟢 Loaded again: staging/DimDate",
    ]
