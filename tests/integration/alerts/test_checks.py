"""Failed checks are told once, and once more when they pass."""

import dagster as dg
import pytest
from alert_receivers import WebhookServer

from tranship.alerts.sensors import RUNS_SENSOR

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Counts:
    rows_in_source = 606
    rows_in_copy = 606


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def definitions(counts: Counts) -> dg.Definitions:
    @dg.asset(key=["staging", "DimProduct"])
    def staged() -> None:
        """Loads nothing."""

    @dg.asset(deps=[staged])
    def downstream() -> None:
        """Waits for the blocking check."""

    def result() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=counts.rows_in_source == counts.rows_in_copy,
            description="The copy lacks rows.",
            metadata={
                "rows_in_source": counts.rows_in_source,
                "rows_in_copy": counts.rows_in_copy,
            },
        )

    @dg.asset_check(asset=staged)
    def as_many_rows() -> dg.AssetCheckResult:
        return result()

    @dg.asset_check(asset=staged, blocking=True)
    def blocks() -> dg.AssetCheckResult:
        return result()

    @dg.asset_check(asset=staged)
    def raises() -> dg.AssetCheckResult:
        raise ValueError("The source went away.")

    everything = dg.AssetSelection.assets("downstream", ["staging", "DimProduct"])
    checks = {"as_many_rows": as_many_rows, "blocks": blocks, "raises": raises}
    jobs = [
        dg.define_asset_job(
            f"{name}_job", everything.without_checks() | dg.AssetSelection.checks(check)
        )
        for name, check in checks.items()
    ]
    return dg.Definitions(
        assets=[staged, downstream], asset_checks=list(checks.values()), jobs=jobs
    )


@pytest.fixture
def run(instance: dg.DagsterInstance, definitions: dg.Definitions):
    repository = definitions.get_repository_def()

    def run_job(name: str) -> dg.ExecuteInProcessResult:
        return repository.get_job(name).execute_in_process(
            run_config=QUIET, instance=instance, raise_on_error=False
        )

    return run_job


@pytest.fixture
def tick(ticks, definitions: dg.Definitions):
    tick = ticks(RUNS_SENSOR, definitions)
    tick()
    return tick


def test_a_failed_check_is_told_once_and_once_more_when_it_passes(
    webhook: WebhookServer, counts: Counts, run, tick
):
    counts.rows_in_copy = 605
    result = run("as_many_rows_job")
    assert result.success
    tick()
    run("as_many_rows_job")
    tick()

    [body] = webhook.bodies
    assert body["text"] == "🔴 Check failed: as_many_rows of staging/DimProduct"
    shown = str(body["blocks"])
    assert "The copy lacks rows. rows_in_copy: 605; rows_in_source: 606" in shown
    assert f"https://dagster.example.com/runs/{result.run_id}" in shown
    assert "https://dagster.example.com/assets/staging/DimProduct?view=checks" in shown

    counts.rows_in_copy = 606
    run("as_many_rows_job")
    tick()
    tick()
    assert [body["text"] for body in webhook.bodies[1:]] == [
        "🟢 Check passes again: as_many_rows of staging/DimProduct"
    ]


def test_a_run_that_a_blocking_check_stops_is_told_as_the_check_alone(
    webhook: WebhookServer, counts: Counts, run, tick
):
    counts.rows_in_copy = 605
    assert not run("blocks_job").success
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Check failed: blocks of staging/DimProduct"
    ]


def test_a_check_that_raises_is_told_with_its_error(webhook: WebhookServer, run, tick):
    run("raises_job")
    tick()
    [body] = webhook.bodies
    assert body["text"] == "🔴 Failed: raises of staging/DimProduct"
    assert "ValueError: The source went away." in str(body["blocks"])


def test_a_check_that_is_reported_from_outside_has_the_asset_to_link_to(
    webhook: WebhookServer, instance: dg.DagsterInstance, tick
):
    for passed in (False, False, True):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(["staging", "DimProduct"]),
                check_name="as_many_rows",
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
            )
        )
        tick()
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢"]
    shown = str(webhook.bodies[0]["blocks"])
    assert "The check did not pass. (a warning)" in shown
    assert "/assets/staging/DimProduct?view=checks|Open the asset" in shown
    assert "/runs/" not in shown
