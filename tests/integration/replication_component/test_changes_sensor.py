"""The sensor of changes over runs: a change is asked for until a load of it has succeeded, and once at a time."""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from tests.integration.replication_component.conftest import Replication

from tranship.replication.changes_sensor import changes_sensor
from tranship.replication.config import TableSettings
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName

EVERY_SECONDS = 60


class Watch:
    """The sensor of two tables, ticked by hand, and the runs that it asks for."""

    def __init__(self, replication: Replication, tables: list[TableName]) -> None:
        from tranship.replication import ReplicationComponent

        self.replication = replication
        self.cursor: str | None = None
        component = ReplicationComponent(
            target_schema=replication.schema,
            tables=[TableSettings(table=str(one), retries=0) for one in tables],
        )
        replicated = component.replicated_tables([])
        replication.of(*(TableSettings(table=str(one), retries=0) for one in tables))
        self.sensor = changes_sensor(replicated, "n", EVERY_SECONDS, dg.in_process_executor)
        self.defs = dg.Definitions(
            assets=replication.assets,
            sensors=[self.sensor],
            resources={
                "sqlserver": replication.resources["sqlserver"],
                "postgres": dg.ResourceDefinition.hardcoded_resource(None),
            },
        )

    def tick(self) -> list[dg.RunRequest]:
        """What one look at the source asks for."""
        with dg.build_sensor_context(
            instance=self.replication.instance,
            cursor=self.cursor,
            definitions=self.defs,
            resources={"sqlserver": self.replication.resources["sqlserver"]},
        ) as context:
            answer = self.sensor.evaluate_tick(context)
        self.cursor = answer.cursor
        return list(answer.run_requests or [])

    def names(self) -> list[list[str]]:
        return [[key.path[-1] for key in one.asset_selection or ()] for one in self.tick()]

    def run(self, request: dg.RunRequest) -> bool:
        """The run that a request launches."""
        keys = [key.path[-1] for key in request.asset_selection or ()]
        return self.replication.run(*keys, tags=dict(request.tags)).success

    def load(self) -> None:
        (request,) = self.tick()
        assert self.run(request)


@pytest.fixture
def tables(source_table: Callable[..., str]) -> list[TableName]:
    ddl = "create table {table} (Id int not null primary key, Flag int)"
    return [
        TableName("dbo", source_table(ddl, "insert into {table} values (1, 0), (2, 0)"))
        for _ in range(2)
    ]


@pytest.fixture
def watch(replication: Replication, tables: list[TableName]) -> Watch:
    return Watch(replication, tables)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds go by."""

    def passes(seconds: float) -> None:
        now = time.time() + seconds
        monkeypatch.setattr("tranship.replication.changes_sensor._now", lambda: now)

    return passes


def test_a_table_that_changes_back_is_loaded_after_each_change(
    watch: Watch, tables: list[TableName], source: Callable[[str], None]
) -> None:
    watch.load()
    run_keys = []
    for flag in (1, 0, 1):
        source(f"update {tables[0]} set Flag = {flag}")
        (request,) = watch.tick()
        assert [key.path[-1] for key in request.asset_selection or ()] == [tables[0].name]
        run_keys.append(request.run_key)
        assert watch.run(request)
        assert watch.names() == []
    assert len(set(run_keys)) == 3


def test_a_load_that_failed_is_asked_for_again_and_the_one_that_succeeded_is_not(
    watch: Watch,
    tables: list[TableName],
    source: Callable[[str], None],
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tranship.errors import TranshipError
    from tranship.replication.load import load

    def fails_for_one(plan: Any, *arguments: Any) -> Any:
        if plan.source == tables[0]:
            raise TranshipError("The disk is full.", "Make room.")
        return load(plan, *arguments)

    with monkeypatch.context() as broken:
        broken.setattr("tranship.replication.step.load", fails_for_one)
        (request,) = watch.tick()
        assert not watch.run(request)

    assert watch.names() == []
    later(EVERY_SECONDS + 1)
    assert watch.names() == [[tables[0].name]]


def test_a_run_under_way_is_not_doubled(
    watch: Watch,
    tables: list[TableName],
    source: Callable[[str], None],
    later: Callable[[float], None],
) -> None:
    (request,) = watch.tick()
    run = watch.replication.instance.add_run(
        dg.DagsterRun(
            job_name="n_changes_job", tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED
        )
    )
    source(f"update {tables[0]} set Flag = 7")

    assert watch.names() == []
    watch.replication.instance.report_run_failed(run)
    assert watch.names() == []
    later(EVERY_SECONDS + 1)
    assert watch.names() == [sorted(one.name for one in tables)]


@pytest.fixture
def one_is_tracked(tables: list[TableName], source: Callable[[str], None], tracks: None) -> None:
    """The first table is tracked, and its record has begun; the second one is not."""
    source(f"alter table {tables[0]} enable change_tracking")
    source(f"insert into {tables[0]} values (9, 9)")


@pytest.mark.usefixtures("one_is_tracked")
def test_tracked_tables_are_asked_for_changes_and_the_others_for_their_rows(
    watch: Watch, tables: list[TableName], source: Callable[[str], None]
) -> None:
    tracked, plain = tables
    watch.load()
    assert watch.names() == []
    for table, change in (
        (plain, f"update {plain} set Flag = 7 where Id = 1"),
        (tracked, f"delete from {tracked} where Id = 1"),
        (tracked, f"truncate table {tracked}"),
    ):
        source(change)
        (request,) = watch.tick()
        assert [key.path[-1] for key in request.asset_selection or ()] == [table.name]
        assert watch.run(request)
        assert watch.names() == []


@pytest.mark.usefixtures("one_is_tracked")
def test_tracking_that_is_switched_off_is_no_rest(
    watch: Watch, tables: list[TableName], source: Callable[[str], None]
) -> None:
    watch.load()
    source(f"alter table {tables[0]} disable change_tracking")
    (request,) = watch.tick()
    assert [key.path[-1] for key in request.asset_selection or ()] == [tables[0].name]
    assert watch.run(request)
    assert watch.names() == []
    source(f"update {tables[0]} set Flag = 3 where Id = 1")
    assert watch.names() == [[tables[0].name]]


@pytest.mark.usefixtures("one_is_tracked")
def test_a_change_of_a_tracked_table_whose_load_failed_is_asked_for_again(
    watch: Watch,
    tables: list[TableName],
    source: Callable[[str], None],
    later: Callable[[float], None],
) -> None:
    watch.load()
    source(f"delete from {tables[0]} where Id = 1")
    (request,) = watch.tick()
    run = watch.replication.instance.add_run(
        dg.DagsterRun(
            job_name="n_changes_job", tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED
        )
    )
    watch.replication.instance.report_run_failed(run)
    assert watch.names() == []
    later(EVERY_SECONDS + 1)
    assert watch.names() == [[tables[0].name]]


def test_a_table_that_is_gone_keeps_none_of_the_others_back_and_is_said(
    watch: Watch, tables: list[TableName], source: Callable[[str], None]
) -> None:
    source(f"exec sp_executesql N'drop table {tables[1]}'")
    try:
        assert watch.names() == [[tables[0].name]]
        with pytest.raises(Exception, match="cannot be looked at"):
            watch.tick()
    finally:
        source(f"create table {tables[1]} (Id int)")


def test_another_database_behind_the_same_name_is_a_change(
    watch: Watch, sqlserver: SqlServerResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tranship.identity import SourceIdentity
    from tranship.sqlserver import fingerprints

    watch.load()
    assert watch.names() == []
    monkeypatch.setattr(
        fingerprints, "identity_of", lambda *_: SourceIdentity.of({"server": "other"})
    )

    assert len(watch.tick()) == 1
