"""Redshift passes over trailing blanks when it compares texts; a write never takes one text for another.

https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html#r_Character_types-significance-of-trailing-blanks
"""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tranship.reads import ReadRequest
from tranship.redshift.reader import read
from tranship.redshift.statements import select_slice
from tranship.slices import AllOf, AnyOf, Interval, KeyRange, Slice, Values
from tranship.tables import Column, TableSchema
from tranship.writes import WriteMode

SPELLINGS = ["a", "a ", "a  ", "A", " a", "b", "", " "]


def regions(database) -> list[tuple[Any, Any]]:
    found = read(database.settings, ReadRequest(database.table())).to_table()
    return sorted(zip(found["region"].to_pylist(), found["n"].to_pylist(), strict=True))


def of(region: str, n: int) -> pa.Table:
    return pa.table({"region": [region], "n": [n]})


def test_replacing_a_partition_twice_leaves_those_that_differ_in_trailing_blanks(database):
    database.write(pa.table({"region": SPELLINGS, "n": [0] * len(SPELLINGS)}))
    for n, region in enumerate(["a ", "a", ""], start=1):
        for _ in range(2):
            database.write(of(region, n), slice=Values("region", (region,)))
        left = [spelling for spelling in SPELLINGS if spelling != region]
        found = regions(database)
        assert (region, n) in found
        assert [name for name, _ in found] == sorted([*left, region])


def test_reading_a_partition_gives_no_row_of_another(database):
    database.write(pa.table({"region": SPELLINGS, "n": [0] * len(SPELLINGS)}))
    for region in SPELLINGS:
        for via in ("cursor", "unload"):
            request = ReadRequest(database.table(), Values("region", (region,)))
            found = read(replace(database.settings, read_via=via), request).to_table()
            assert found["region"].to_pylist() == [region]


def test_merging_keys_that_differ_in_trailing_blanks_keeps_them_apart(database):
    for n in (1, 2):
        both = pa.table({"region": ["a", "a "], "n": [n, n + 10]})
        for _ in range(2):
            database.write(both, mode=WriteMode.MERGE, key=("region",))
            assert regions(database) == [("a", n), ("a ", n + 10)]


TEXTS = st.text(alphabet="aA \tb!\x01é", max_size=3)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(TEXTS, min_size=1, max_size=6, unique=True),
    st.one_of(
        st.lists(TEXTS, min_size=1, max_size=3).map(lambda v: Values("region", tuple(v))),
        TEXTS.map(lambda low: KeyRange("region", low=low)),
        TEXTS.map(lambda high: KeyRange("region", high=high)),
        st.tuples(TEXTS, TEXTS).map(lambda v: Interval("region", v[0], v[1], includes_low=False)),
        st.tuples(TEXTS, TEXTS).map(
            lambda v: AnyOf((Values("region", (v[0],)), KeyRange("region", low=v[1])))
        ),
        st.tuples(TEXTS, TEXTS).map(
            lambda v: AllOf((KeyRange("region", low=v[0]), KeyRange("region", high=v[1])))
        ),
    ),
)
def test_a_slice_on_the_server_is_the_slice_of_the_bytes(once, database, values, part: Slice):
    """What the mask lets through is what the DELETE finds again."""
    schema = TableSchema((Column("region", pa.string()),))
    statement, parameters = select_slice(
        database.table("texts"), [sa.column("region")], part, schema
    )
    mask = part.mask(pa.record_batch({"region": pa.array(values, pa.string())}))
    expected = [value for value, inside in zip(values, mask or [], strict=True) if inside.as_py()]
    with once.cursor() as cursor:
        cursor.execute("delete from {}.texts".replace("{}", database.schema))
        for value in values:
            cursor.execute(f"insert into {database.schema}.texts values (%s)", (value,))
        cursor.execute(statement, parameters)
        assert sorted(row[0] for row in cursor.fetchall()) == sorted(expected)


@pytest.fixture
def once(database):
    database.rows("create table {schema}.texts (region varchar(20))")
    with closing(database.connect()) as connection:
        yield connection
