"""Key-range parts: each row is in exactly one."""

import itertools

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tranship.comparisons import equal_cuts, ranges
from tranship.errors import ConfigurationError
from tranship.reads import ReadRequest
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.parts import part_column
from tranship.sqlserver.query import build_query
from tranship.tables import Column, SourceType, TableName, TableSchema

KEYS = st.lists(st.none() | st.integers(-50, 50), max_size=30)


@given(keys=KEYS, cuts=st.sets(st.integers(-60, 60), max_size=6))
def test_each_row_is_in_exactly_one_part(keys, cuts):
    engine = sa.create_engine("sqlite://")
    table = sa.Table("t", sa.MetaData(), sa.Column("k", sa.Integer))
    with engine.begin() as connection:
        table.create(connection)
        if keys:
            connection.execute(table.insert(), [{"k": key} for key in keys])
        found = []
        for predicate in ranges("k", sorted(cuts), nullable=True):
            statement = sa.select(table.c.k)
            found += connection.scalars(
                statement if predicate is None else statement.where(predicate)
            ).all()
    engine.dispose()
    assert sorted(map(str, found)) == sorted(map(str, keys))


@given(low=st.integers(-(2**63), 2**63 - 1), width=st.integers(0, 10**6), parts=st.integers(1, 16))
def test_equal_cuts_make_ranges_of_equal_width(low, width, parts):
    high = low + width
    cuts = equal_cuts(low, high, parts)
    assert cuts == sorted(set(cuts))
    edges = [low, *cuts, high + 1]
    widths = [after - before for before, after in itertools.pairwise(edges)]
    assert sum(widths) == width + 1
    assert max(widths) - min(widths) <= 1


def query(*columns: Column, key: tuple[str, ...] = ()):
    return build_query(
        ReadRequest(TableName("dbo", "t")), TableSchema(columns, primary_key=key), ReadOptions()
    )


ID = Column("id", pa.int32(), source_type=SourceType("int"))
NOTE = Column("note", pa.large_string(), source_type=SourceType("nvarchar"))


def test_the_primary_key_is_split_by_where_nothing_else_is_named():
    assert part_column(query(ID, NOTE, key=("id",)), None) == "id"


def test_a_table_without_a_key_of_one_column_needs_a_name():
    with pytest.raises(
        ConfigurationError, match=r"dbo\.t has no primary key of one column.*part_column"
    ):
        part_column(query(ID, NOTE), None)


def test_a_large_text_cannot_be_split_by():
    with pytest.raises(
        ConfigurationError, match=r'"note" of dbo.t is nvarchar\(max\), which cannot'
    ):
        part_column(query(ID, NOTE), "note")
