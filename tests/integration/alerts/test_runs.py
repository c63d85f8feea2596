"""Failed runs are told once, with table, cause and link, and once more when they recover."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from alert_receivers import WebhookServer
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    WILL_RETRY_TAG,
)

from tranship.alerts.sensors import RUNS_SENSOR
from tranship.errors import TableNotFoundError, UnreachableError
from tranship.failures import as_failures

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CAUSE = "No such table: dbo.DimDate. Check the spelling."


class Source:
    """What the assets below meet in their source: for each table an error, or none; some are gone."""

    def __init__(self):
        self.errors: dict[str, Exception] = {}
        self.gone: set[str] = set()

    def read(self, table: str) -> None:
        if table in self.errors:
            raise self.errors[table]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def definitions(source: Source) -> dg.Definitions:
    def table(name: str) -> dg.AssetsDefinition:
        @dg.asset(key=["staging", name])
        def staged() -> None:
            with as_failures():
                source.read(name)

        return staged

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
    def orders(context: dg.AssetExecutionContext) -> None:
        with as_failures():
            source.read(context.partition_key)

    @dg.asset(
        partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def days(context: dg.AssetExecutionContext) -> None:
        with as_failures():
            for day in context.partition_keys:
                source.read(day)

    @dg.op
    def move_table() -> None:
        source.read("op")

    @dg.job
    def move_job() -> None:
        move_table()

    @dg.op(out=dg.DynamicOut(str), config_schema={"tables": [str]})
    def wanted_tables(context: dg.OpExecutionContext):
        for name in sorted(set(context.op_config["tables"]) - source.gone):
            yield dg.DynamicOutput(name, mapping_key=name)

    @dg.op
    def load_table(table: str) -> None:
        source.read(table)

    @dg.job
    def mapped_job() -> None:
        wanted_tables().map(load_table)

    return dg.Definitions(
        assets=[table("DimDate"), table("DimCustomer"), orders, days],
        jobs=[
            move_job,
            mapped_job,
            dg.define_asset_job("staging_job", dg.AssetSelection.key_prefixes("staging")),
            dg.define_asset_job("orders_job", dg.AssetSelection.assets("orders")),
            dg.define_asset_job("days_job", dg.AssetSelection.assets("days")),
        ],
    )


@pytest.fixture
def run(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> Callable[..., dg.ExecuteInProcessResult]:
    repository = definitions.get_repository_def()

    def run_job(name: str, config: Any = None, **options: Any) -> dg.ExecuteInProcessResult:
        return repository.get_job(name).execute_in_process(
            run_config=QUIET | (config or {}), instance=instance, raise_on_error=False, **options
        )

    return run_job


@pytest.fixture
def tick(ticks, definitions: dg.Definitions):
    tick = ticks(RUNS_SENSOR, definitions)
    tick()  # what happened before the first tick is not told
    return tick


def texts(body: dict[str, Any]) -> str:
    """All that a Slack message shows."""
    shown = []
    for block in body["blocks"]:
        shown += [part["text"] for part in block.get("elements", [])]
        shown += [block["text"]["text"]] if "text" in block else []
    return "\n".join(shown)


def test_a_failed_run_is_told_with_table_cause_and_link(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = TableNotFoundError(
        "No such table: dbo.DimDate.", "Check the spelling."
    )
    run_id = run("staging_job").run_id
    tick()

    [body] = webhook.bodies
    assert body["text"] == "🔴 Failed: staging/DimDate"
    assert f"staging/DimDate\n{CAUSE}" in texts(body)
    assert f"<https://dagster.example.com/runs/{run_id}|Open the run>" in texts(body)
    assert f"run {run_id[:8]} of staging_job" in texts(body)


def test_failing_again_is_not_told_and_succeeding_is_told_once(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = TableNotFoundError("No such table: dbo.DimDate.")
    for _ in range(3):
        run("staging_job")
        tick()
    assert len(webhook.bodies) == 1

    source.errors.clear()
    run_id = run("staging_job").run_id
    tick()
    run("staging_job")
    tick()

    [_, recovery] = webhook.bodies
    assert recovery["text"] == "🟢 Loaded again: staging/DimDate"
    assert f"https://dagster.example.com/runs/{run_id}" in texts(recovery)
    assert "Recovered" in texts(recovery)


def test_a_failure_after_a_recovery_is_a_new_incident(
    webhook: WebhookServer, source: Source, run, tick
):
    for broken in (True, False, True, False):
        source.errors = {"DimDate": UnreachableError("It did not answer.")} if broken else {}
        run("staging_job")
        tick()
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢", "🔴", "🟢"]


def test_a_failure_and_its_end_between_two_ticks_are_both_told(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = UnreachableError("It did not answer.")
    run("staging_job")
    source.errors.clear()
    run("staging_job")
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Failed: staging/DimDate",
        "🟢 Loaded again: staging/DimDate",
    ]


def test_tables_that_fail_in_one_run_are_one_message(
    webhook: WebhookServer, source: Source, run, tick
):
    error = UnreachableError("SQL Server db:1433 did not answer.")
    source.errors = {"DimDate": error, "DimCustomer": error}
    run("staging_job")
    tick()

    [body] = webhook.bodies
    assert body["text"].endswith("and 1 more")
    sections = [block["text"]["text"] for block in body["blocks"] if block["type"] == "section"]
    names, cause = sections[0].split("\n")
    assert set(names.split(", ")) == {"staging/DimDate", "staging/DimCustomer"}
    assert cause == "SQL Server db:1433 did not answer."


def test_a_second_table_that_fails_later_is_told_although_the_first_still_fails(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = UnreachableError("It did not answer.")
    run("staging_job")
    tick()
    source.errors["DimCustomer"] = UnreachableError("It did not answer.")
    run("staging_job")
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Failed: staging/DimDate",
        "🔴 Failed: staging/DimCustomer",
    ]


def test_an_error_that_is_no_failure_is_told_as_it_was_raised(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["op"] = ValueError("7 is no month <!channel>")
    run("move_job")
    tick()
    [body] = webhook.bodies
    assert body["text"] == "🔴 Failed: move_job: move_table"
    assert "ValueError: 7 is no month <!channel>" in texts(body)
    markup = [block["text"] for block in body["blocks"] if "text" in block]
    assert all("<!channel>" not in text["text"] for text in markup if text["type"] == "mrkdwn")


def test_a_job_without_assets_recovers_when_its_step_succeeds(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["op"] = ValueError("no")
    run("move_job")
    tick()
    source.errors.clear()
    run("move_job")
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Failed: move_job: move_table",
        "🟢 Loaded again: move_job: move_table",
    ]


def tables(*names: str) -> dict[str, Any]:
    return {"ops": {"wanted_tables": {"config": {"tables": list(names)}}}}


def test_a_mapped_step_that_is_gone_recovers_with_the_same_run_and_no_other(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = ValueError("no")
    assert not run("mapped_job", tables("DimDate", "DimCustomer")).success
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Failed: mapped_job: load_table[DimDate]"
    ]
    assert run("mapped_job", tables("DimCustomer")).success
    tick()
    assert len(webhook.bodies) == 1
    source.gone.add("DimDate")
    assert run("mapped_job", tables("DimDate", "DimCustomer")).success
    tick()
    assert webhook.bodies[1]["text"] == "🟢 Loaded again: mapped_job: load_table[DimDate]"


def test_each_partition_is_an_incident_of_its_own(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["2024-01-01"] = UnreachableError("It did not answer.")
    run("orders_job", partition_key="2024-01-01")
    run("orders_job", partition_key="2024-01-02")
    tick()
    source.errors["2024-01-03"] = UnreachableError("It did not answer.")
    run("orders_job", partition_key="2024-01-03")
    tick()

    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🔴"]
    assert "orders (partition 2024-01-01)" in texts(webhook.bodies[0])
    assert "orders (partition 2024-01-03)" in texts(webhook.bodies[1])


def test_a_backfill_is_one_incident_until_all_its_partitions_are_loaded(
    webhook: WebhookServer, source: Source, run, tick
):
    days = ["2024-01-01", "2024-01-02", "2024-01-03"]
    source.errors = {day: UnreachableError("It did not answer.") for day in days}
    for day in days:
        run("orders_job", partition_key=day, tags={BACKFILL_ID_TAG: "abc"})
        tick()
    assert len(webhook.bodies) == 1

    source.errors.clear()
    for day in days:
        assert len(webhook.bodies) == 1
        run("orders_job", partition_key=day)
        tick()
    assert webhook.bodies[-1]["text"] == "🟢 Loaded again: orders"
    assert "orders (partitions 2024-01-01, 2024-01-02, 2024-01-03)" in texts(webhook.bodies[-1])


def test_a_run_over_a_range_of_partitions_is_one_incident_until_each_is_loaded(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["2024-01-02"] = UnreachableError("It did not answer.")
    first_to_third = {
        ASSET_PARTITION_RANGE_START_TAG: "2024-01-01",
        ASSET_PARTITION_RANGE_END_TAG: "2024-01-03",
    }
    run("days_job", tags=first_to_third)
    tick()
    [body] = webhook.bodies
    assert "days (partitions 2024-01-01, 2024-01-02, 2024-01-03)" in texts(body)
    source.errors.clear()
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        assert len(webhook.bodies) == 1
        run("days_job", partition_key=day)
        tick()
    assert len(webhook.bodies) == 2


def test_a_run_that_dagster_launches_again_is_no_trouble_yet(
    webhook: WebhookServer, source: Source, run, tick
):
    source.errors["DimDate"] = UnreachableError("It did not answer.")
    run("staging_job", tags={WILL_RETRY_TAG: "true"})
    tick()
    assert webhook.bodies == []
    run("staging_job", tags={WILL_RETRY_TAG: "false"})
    tick()
    assert len(webhook.bodies) == 1


def test_a_run_whose_container_died_is_told_with_what_the_launcher_said(
    webhook: WebhookServer, instance: dg.DagsterInstance, definitions: dg.Definitions, tick
):
    job = definitions.get_repository_def().get_job("staging_job")
    run = instance.create_run_for_job(job)
    instance.report_run_failed(
        run, "Container tranship-run-1 ended with exit code 137: out of memory."
    )
    tick()
    [body] = webhook.bodies
    assert body["text"] == "🔴 Failed: staging/DimCustomer and 1 more"
    assert "Container tranship-run-1 ended with exit code 137: out of memory." in texts(body)


def test_a_job_that_died_before_its_first_step_recovers_when_it_runs(
    webhook: WebhookServer, instance: dg.DagsterInstance, definitions: dg.Definitions, run, tick
):
    job = definitions.get_repository_def().get_job("move_job")
    instance.report_run_failed(instance.create_run_for_job(job), "No such image.")
    tick()
    run("move_job")
    tick()
    assert [body["text"] for body in webhook.bodies] == [
        "🔴 Failed: move_job",
        "🟢 Loaded again: move_job",
    ]
    assert "No such image." in texts(webhook.bodies[0])


def test_a_canceled_run_is_neither_a_failure_nor_a_recovery(
    webhook: WebhookServer,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    source: Source,
    run,
    tick,
):
    job = definitions.get_repository_def().get_job("staging_job")
    instance.report_run_canceled(instance.create_run_for_job(job))
    tick()
    assert webhook.bodies == []
    source.errors["DimDate"] = UnreachableError("It did not answer.")
    run("staging_job")
    instance.report_run_canceled(instance.create_run_for_job(job))
    tick()
    assert len(webhook.bodies) == 1


def test_what_failed_before_the_first_tick_is_not_told(
    webhook: WebhookServer, source: Source, run, ticks, definitions: dg.Definitions
):
    source.errors["DimDate"] = UnreachableError("It did not answer.")
    run("staging_job")
    tick = ticks(RUNS_SENSOR, definitions)
    tick()
    tick()
    assert webhook.bodies == []
