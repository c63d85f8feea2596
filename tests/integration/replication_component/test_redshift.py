"""Replicated tables in Redshift, through the same component."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from awkward_names import AWKWARD, entry
from redshift_places import settings_of
from replication_runs import checks, event_rows, metadata, said
from statements import asking

from tranship.redshift.resource import RedshiftResource
from tranship.redshift.target import RedshiftTarget
from tranship.replication.config import CheckSettings, TableSettings
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName


@pytest.fixture
def redshift(redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str) -> RedshiftResource:
    settings = settings_of(redshift_url, bucket, iam_role, s3_endpoint)
    return RedshiftResource(
        region_name=settings.region_name,
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password,
        database=settings.database,
        bucket_name=settings.bucket_name,
        s3_iam_role=settings.s3_iam_role,
        s3_prefix=settings.s3_prefix,
        s3_endpoint_url=settings.s3_endpoint_url,
        aws_endpoint_url=settings.aws_endpoint_url,
    )


@pytest.fixture
def ask(redshift_url: str) -> Iterator[Callable[[str], list[tuple]]]:
    with asking(redshift_url) as ask:
        yield ask


@pytest.fixture
def into_redshift(
    instance: dg.DagsterInstance,
    sqlserver: SqlServerResource,
    redshift: RedshiftResource,
    replication: Any,
    ask: Callable[[str], list[tuple]],
) -> Iterator[Any]:
    made = type(replication)(
        instance,
        {"sqlserver": sqlserver, "redshift": redshift},
        f"test_{secrets.token_hex(6)}",
        "redshift",
    )
    yield made
    ask(f"drop schema if exists {made.schema} cascade")


def test_a_merged_table_is_kept_up_to_date_in_redshift_too(into_redshift, events, source, ask):
    into_redshift.of(
        TableSettings(
            table=str(events),
            target="Events",
            mode="merge",
            cursor="Changed",
            delete="mark",
            checks=CheckSettings(columns=True),
        )
    )
    first = into_redshift.run()
    assert first.success, said(first)
    assert all(checks(first).values()), checks(first)
    source(event_rows(31, 32, day=2).replace("{table}", str(events)))
    source(f"update {events} set Name = N'other', Changed = '2024-01-03' where Id = 5")
    source(f"delete from {events} where Id = 9")
    for _ in range(2):
        second = into_redshift.run()
        assert second.success, said(second)
        assert all(checks(second).values()), checks(second)
        assert metadata(second)["bookmark"] == "2024-01-03T00:00:00"
    rows = ask(
        f"""
        select count(*), count(_deleted_at), max(case when id = 5 then name end)
        from {into_redshift.schema}.events
        """
    )
    assert rows == [(32, 1, "other")]


# The stand-in's own Postgres has room for 63 bytes, those of the bookmark's table included.
@pytest.mark.parametrize("name", [name for name in AWKWARD if len(name.encode()) < 45])
def test_a_table_of_any_name_is_loaded_into_redshift_and_has_a_bookmark(
    name, into_redshift, awkward, ask, redshift
):
    table = awkward(name)
    into_redshift.of(entry(table, mode="merge", cursor="At"))
    for _ in range(2):
        result = into_redshift.run()
        assert result.success, said(result)
    target = RedshiftTarget(redshift.settings(), redshift.credentials())
    copy = target.table_name(TableName(into_redshift.schema, table.name))
    bookmark = target.bookmark(copy)
    assert bookmark is not None
    assert (bookmark.table, bookmark.cursor_value) == (copy, "3")
    quoted = copy.name.replace('"', '""')
    assert ask(f'select count(*) from {copy.schema}."{quoted}"') == [(3,)]


def test_names_that_differ_by_case_alone_are_refused_by_redshift_with_the_cure(
    into_redshift, events
):
    names = TableSettings(table=f"dbo.{events.name}", target="Orders")
    other = TableSettings(table="dbo.orders")
    into_redshift.of(names, other)
    result = into_redshift.run("Orders")
    assert not result.success
    (event,) = (event for event in result.all_events if event.is_step_failure)
    assert (
        f"{into_redshift.schema}.orders and {into_redshift.schema}.Orders are one table in Redshift, which "
        "writes names in lower case; neither is loaded. Give"
    ) in event.step_failure_data.user_failure_data.description
