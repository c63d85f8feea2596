"""A table of Postgres, replicated by the component to Postgres and to Redshift: every mode, with its checks."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from redshift_places import settings_of
from replication_runs import checks, metadata, said
from statements import Rows, asking
from tests.integration.postgres_source.conftest import Make, Role, Run

from tranship.postgres.resource import PostgresResource
from tranship.postgres.settings import PostgresSettings
from tranship.redshift.resource import RedshiftResource
from tranship.replication import ReplicationComponent
from tranship.replication.assets import replicated_asset
from tranship.replication.config import CheckSettings, TableSettings, Tuning
from tranship.tables import TableName

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
COLUMNS = """
    id int primary key, place varchar(40), amount numeric(10, 2) not null, share numeric, uid uuid, is_open boolean,
    changed timestamptz not null
"""
MERGE: dict[str, Any] = {"mode": "merge", "cursor": "changed"}


def resource(settings: PostgresSettings) -> PostgresResource:
    return PostgresResource(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        password=settings.password,
    )


@dataclass(frozen=True)
class Copies:
    """Where tables are copied to."""

    resource: Any
    schema: str
    ask: Callable[[str], Rows]
    folds: bool

    def rows(
        self, name: str, columns: str = "id, place, amount, changed", where: str = "true"
    ) -> Rows:
        shown = name.lower() if self.folds else name
        return self.ask(f'select {columns} from {self.schema}."{shown}" where {where} order by 1')


@pytest.fixture
def into_postgres(settings: PostgresSettings, postgres_url: str) -> Iterator[Copies]:
    schema = f"test_{secrets.token_hex(6)}"
    with asking(postgres_url) as ask:
        yield Copies(resource(settings), schema, ask, folds=False)
        ask(f"drop schema if exists {schema} cascade")


@pytest.fixture
def into_redshift(
    redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str
) -> Iterator[Copies]:
    settings = settings_of(redshift_url, bucket, iam_role, s3_endpoint)
    names = (
        "region_name", "host", "port", "user", "password", "database", "bucket_name", "s3_iam_role", "s3_prefix",
        "s3_endpoint_url", "aws_endpoint_url",
    )  # fmt: skip
    made = RedshiftResource(**{name: getattr(settings, name) for name in names})
    schema = f"test_{secrets.token_hex(6)}"
    with asking(redshift_url) as ask:
        yield Copies(made, schema, ask, folds=True)
        ask(f"drop schema if exists {schema} cascade")


@pytest.fixture(params=["into_postgres", "into_redshift"])
def copies(request: pytest.FixtureRequest) -> Copies:
    return request.getfixturevalue(request.param)


@pytest.fixture
def table(make: Make) -> TableName:
    """Three orders."""
    return make(
        COLUMNS,
        "1, 'Zoë', 1.50, 0.1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, '2024-01-01 10:00+00'",
        "2, null, 2.50, 1e-30, null, false, '2024-01-01 23:30-02'",
        "3, '', 3.50, null, null, null, '2024-01-02 10:00+00'",
        name="Orders",
    )


Replicate = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def replicate(settings: PostgresSettings, copies: Copies, table: TableName) -> Replicate:
    def run(
        partition: str | None = None, as_: PostgresSettings | None = None, **of_table: Any
    ) -> dg.ExecuteInProcessResult:
        component = ReplicationComponent(
            source="origin",
            source_system="postgres",
            target="place",
            target_schema=copies.schema,
            defaults=Tuning(checks=CheckSettings(columns=True)),
            tables=[TableSettings(table=str(table), target="Orders", retries=0, **of_table)],
        )
        return dg.materialize(
            [replicated_asset(one) for one in component.replicated_tables([])],
            resources={"origin": resource(as_ or settings), "place": copies.resource},
            partition_key=partition,
            run_config=QUIET,
            raise_on_error=False,
        )

    return run


def assert_done(result: dg.ExecuteInProcessResult) -> None:
    assert result.success, said(result)
    assert all(checks(result).values()), checks(result)


def originals(run: Run, table: TableName, where: str = "true") -> Rows:
    return run(f"select id, place, amount, changed from {{}} where {where} order by 1", table)


CHANGES = (
    "update {} set place = 'moved', changed = '2024-01-03 00:00+00' where id = 2",
    "insert into {} values (4, 'new', 4.5, 7, null, true, '2024-01-04 00:00+00')",
)


@pytest.mark.parametrize(
    "of_table",
    [
        {},
        {"parallel": 2},
        MERGE,
        {**MERGE, "chunk_rows": 2},
        {**MERGE, "delete": "remove"},
        {"mode": "merge", "delete": "mark"},
    ],
    ids=["replace", "parallel", "merge", "chunks", "deletions", "merge without cursor"],
)
def test_a_table_is_kept_up_to_date_with_every_check(
    replicate: Replicate, copies: Copies, table: TableName, run: Run, of_table: dict[str, Any]
) -> None:
    for statements in ((), CHANGES, ()):
        for statement in statements:
            run(statement, table)
        assert_done(replicate(**of_table))
        assert copies.rows("Orders") == originals(run, table)


def test_rows_are_appended_and_none_comes_twice(
    replicate: Replicate, copies: Copies, table: TableName, run: Run
) -> None:
    run('alter table {} drop constraint "Orders_pkey"', table)
    for number in (4, 4, 5):
        run(f"delete from {{}} where id = {number}; insert into {{}} values ({number}, 'x', 1, 1, null, true, '2024-01-05')", table, table)  # fmt: skip
        assert_done(replicate(mode="append", cursor="id"))
        assert copies.rows("Orders") == originals(run, table)


def test_rows_that_are_gone_are_marked_and_come_back(
    replicate: Replicate, copies: Copies, table: TableName, run: Run
) -> None:
    run(
        "insert into {} select i, 'x', i, i, null, true, '2024-01-01' from generate_series(10, 40) i",
        table,
    )
    settings = {**MERGE, "delete": "mark"}
    assert_done(replicate(**settings))
    run(f"create table {table.schema}.kept as select * from {{}} where id = 11", table)
    run("delete from {} where id in (11, 12)", table)
    assert_done(replicate(**settings))
    assert [row[0] for row in copies.rows("Orders", "id", "_deleted_at is not null")] == [11, 12]
    run(f"insert into {{}} select * from {table.schema}.kept", table)
    assert_done(replicate(**settings))
    assert [row[0] for row in copies.rows("Orders", "id", "_deleted_at is not null")] == [12]


def test_a_partition_is_replaced_and_its_neighbours_stay(
    replicate: Replicate, copies: Copies, table: TableName, run: Run
) -> None:
    settings: dict[str, Any] = {
        "mode": "partition",
        "partitions": {"column": "changed", "every": "day", "start": "2024-01-01"},
    }
    for day in ("2024-01-01", "2024-01-02"):
        assert_done(replicate(day, **settings))
    run("update {} set amount = 9", table)
    assert_done(replicate("2024-01-02", **settings))
    assert [(row[0], str(row[2])) for row in copies.rows("Orders")] == [
        (1, "1.50"), (2, "9.00"), (3, "9.00")
    ]  # fmt: skip


def test_new_and_wider_columns_are_followed(
    replicate: Replicate, copies: Copies, table: TableName, run: Run
) -> None:
    # Redshift widens no number in place.
    settings = {**MERGE, "on_schema_change": "rebuild" if copies.folds else "evolve"}
    assert_done(replicate(**settings))
    run("alter table {} add column note text default 'all of them'", table)
    run("alter table {} alter amount type numeric(14, 2), alter id type bigint", table)
    run("insert into {} values (5000000000, 'x', 99999999999.5, 1, null, true, '2024-02-01', null)", table)  # fmt: skip
    assert_done(replicate(**settings))
    assert copies.rows("Orders", "id, note, amount") == run("select id, note, amount from {} order by 1", table)  # fmt: skip


def test_a_table_that_was_made_anew_is_loaded_anew_and_said(
    replicate: Replicate, copies: Copies, table: TableName, run: Run
) -> None:
    assert_done(replicate(**MERGE))
    run("drop table {}", table)
    run(f"create table {{}} ({COLUMNS})", table)
    run("insert into {} values (7, 'other', 7, 7, null, true, '2023-01-01')", table)
    assert not replicate(**MERGE, on_new_source="fail").success
    result = replicate(**MERGE)
    assert_done(result)
    assert "the table was created anew: its oid is" in str(metadata(result))
    assert copies.rows("Orders") == originals(run, table)


def test_columns_and_rows_are_chosen_renamed_cast_and_masked(
    replicate: Replicate,
    copies: Copies,
    table: TableName,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSHIP_MASK_KEY", "0123456789abcdef0123456789abcdef")
    settings: dict[str, Any] = {
        **MERGE,
        "where": "amount < 3 -- the small ones",
        "columns": {
            "exclude": ["is_open"],
            "rename": {"place": "town"},
            "cast": {"share": "numeric(38, 30)"},
            "mask": {"uid": "hash"},
        },
    }
    assert_done(replicate(**settings))
    rows = copies.rows("Orders", "id, town, share, length(uid)")
    assert [(row[0], row[1], row[3]) for row in rows] == [(1, "Zoë", 64), (2, None, None)]
    assert [row[2] for row in rows] == [row[0] for row in run("select share::numeric(38, 30) from {} where id < 3 order by id", table)]  # fmt: skip


def test_xmin_is_no_cursor_and_the_reason_is_said(replicate: Replicate) -> None:
    result = replicate(mode="merge", cursor="xmin")
    assert not result.success
    assert 'The cursor "xmin" of' in said(result)
    assert "rows that are committed late would never be loaded" in said(result)


def test_a_column_that_is_not_granted_is_told_by_its_grant(
    replicate: Replicate, table: TableName, role: Role, run: Run
) -> None:
    reader = role(
        f'grant select (id, place, amount, changed) on {table.schema}."{table.name}" to <role>'
    )
    result = replicate(as_=reader)
    assert "may not select: share, uid, is_open" in said(result)
    columns = {"exclude": ["share", "uid", "is_open"]}
    assert_done(replicate(as_=reader, columns=columns))


def test_rows_that_were_committed_late_are_found_by_the_lookback(
    replicate: Replicate, copies: Copies, table: TableName, run: Run, postgres_url: str
) -> None:
    address = (
        sa.make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
    late = psycopg2.connect(address)
    with late.cursor() as cursor:
        cursor.execute(f"insert into {table.schema}.\"{table.name}\" values (8, 'late', 8, 8, null, true, '2024-01-04 23:55+00')")  # fmt: skip
    run("insert into {} values (9, 'early', 9, 9, null, true, '2024-01-05 00:00+00')", table)
    assert_done(replicate(**MERGE))
    late.commit()
    late.close()
    assert_done(replicate(**MERGE))
    assert copies.rows("Orders") == originals(run, table)


def test_a_role_of_another_zone_and_style_loads_the_same(
    replicate: Replicate, copies: Copies, table: TableName, role: Role, run: Run
) -> None:
    reader = role(
        f"grant select on all tables in schema {table.schema} to <role>",
        "alter role <role> set timezone = 'Asia/Kolkata'",
        "alter role <role> set datestyle = 'SQL, DMY'",
    )
    for as_ in (reader, None, reader):
        assert_done(replicate(as_=as_, **MERGE))
        assert copies.rows("Orders") == originals(run, table)
        run("update {} set id = id + 100, changed = changed + interval '1 day' where id = 3", table)
        run(
            "insert into {} select 3, 'again', 1, 1, null, true, max(changed) from {}", table, table
        )
        run("delete from {} where id > 100", table)
