"""The rows that a load lets through are the rows that its delete finds, in the words of the real servers."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.integration.replication.conftest import Place, Replica, of

from tranship.comparisons import sql_column
from tranship.pgsql.driver import compiled
from tranship.replication.column_statistics import expressions, statistics_of
from tranship.slices import Interval, WholeTable
from tranship.tables import Column, TableSchema

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "integer": (pa.int32(), st.integers(-3, 3)),
    "numeric(5,1)": (
        pa.decimal128(5, 1),
        st.integers(-30, 30).map(lambda tenths: Decimal(tenths) / 10),
    ),
    "date": (pa.date32(), st.dates(date(2024, 2, 27), date(2024, 3, 2))),
    "timestamp": (
        pa.timestamp("us"),
        st.integers(0, 9).map(lambda ticks: datetime(2024, 1, 1, 0, 0, 0, ticks)),
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        st.integers(0, 9).map(lambda ticks: datetime(2024, 1, 1, 0, 0, 0, ticks, UTC)),
    ),
}


@pytest.fixture(scope="module")
def connection(postgres_url: str) -> Iterator[psycopg2.extensions.connection]:
    opened = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    opened.autocommit = True
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mask_lets_through_what_postgres_finds(
    connection: psycopg2.extensions.connection, kind: str, data: st.DataObject
) -> None:
    type_, values = KINDS[kind]
    rows = data.draw(st.lists(st.none() | values, min_size=1, max_size=12))
    part = Interval(
        "a % b",
        data.draw(st.none() | values),
        data.draw(st.none() | values),
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        data.draw(st.booleans()),
    )
    batch = pa.record_batch({"a % b": pa.array(rows, type_)})
    mask = part.mask(batch)
    assert mask is not None
    by_mask = [number for number, belongs in enumerate(mask.to_pylist()) if belongs]
    name = sql_column("a % b")
    table = sa.text(
        "unnest(cast(:numbers as integer[]), cast(:given as text[])) as given(n, v) "
        f'cross join lateral (select cast(v as {kind}) as "a % b") as typed'
    ).bindparams(numbers=list(range(len(rows))), given=[v if v is None else str(v) for v in rows])
    predicate = part.predicate(TableSchema((Column("a % b", type_),)))
    statement = sa.select(sa.column("n")).select_from(table).order_by(sa.column("n"))
    with connection.cursor() as cursor:
        cursor.execute(*compiled(statement if predicate is None else statement.where(predicate)))
        assert [number for (number,) in cursor.fetchall()] == by_mask
    assert name.name == "a % b"


ALL = """
    create table {table} (
        id int not null primary key, tiny tinyint, big bigint, price decimal(10, 2), pay money, ratio float, short real,
        day date, at datetime, fine datetime2(6), instant datetimeoffset(6), flag bit, name nvarchar(20)
    )
"""


def test_what_a_load_measured_is_what_source_and_target_say(origin: Any, place: Place) -> None:
    made: Replica = of(origin(ALL), place)
    made.origin.run(
        "insert into {table} values "
        "(1, 255, 9223372036854775807, 99999999.99, -922337203685477.5808, 0.1, 0.1, '2024-02-29', "
        "'2024-01-01T00:00:00.007', '2024-01-01T00:00:00.123456', '2024-01-01T00:00:00 +02:00', 1, N'ü'), "
        "(2, 0, 9223372036854775807, -0.01, 0.0001, 1e300, -1e30, '1900-01-01', '1900-01-01', '9999-12-31', "
        "'2024-01-01T00:00:00 -02:00', 0, N''), "
        "(3, null, null, null, null, null, null, null, null, null, null, null, null)"
    )
    facts = made.load(measured=True).bookmark.facts
    assert facts["rows"] == 3
    assert facts["columns"]["big"]["sum"] == "18446744073709551614"
    types = {one.name: one.type for one in made.source.schema.columns}
    asked = expressions(types, sql_column, sa.func.count_big)
    assert statistics_of(types, made.source.aggregates(WholeTable(), asked)) == facts["columns"]
    target, schema = place.target, place.target.schema_of(made.plan.target)
    assert schema is not None
    with target.transaction("looking") as cursor:
        row = target.select(
            cursor,
            made.plan.target,
            expressions(types, target.column, sa.func.count),
            WholeTable(),
            schema,
        )
    assert statistics_of(types, row) == facts["columns"]
