"""The SELECT that is sent: quoted names, bound values, only the columns and rows that were asked for."""

import datetime as dt

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tranship.comparisons import sql_column, sql_table
from tranship.errors import ColumnNotFoundError, ConfigurationError, UnsupportedTypeError
from tranship.reads import ReadRequest
from tranship.slices import AllOf, KeyRange, Slice, Values, WholeTable
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import build_query
from tranship.sqlserver.statements import CompiledStatement, compile_statement, quoted
from tranship.tables import Column, SourceType, TableName, TableSchema

TABLE = TableName("Sales Data", "Order]s %")
SCHEMA = TableSchema(
    (
        Column("Id", pa.int32(), nullable=False, source_type=SourceType("int")),
        Column("Größe ?", pa.large_string(), source_type=SourceType("nvarchar", length=50)),
        Column("At", pa.timestamp("us"), source_type=SourceType("datetime")),
        Column("Where", pa.null(), source_type=SourceType("geography")),
    ),
    primary_key=("Id",),
)
MOVABLE = ReadOptions(exclude=("Where",))


def compiled(
    options: ReadOptions = MOVABLE,
    *,
    columns: tuple[str, ...] | None = None,
    rows: Slice | None = None,
) -> CompiledStatement:
    query = build_query(ReadRequest(TABLE, rows or WholeTable(), columns), SCHEMA, options)
    statement = query.select()
    return CompiledStatement(" ".join(statement.sql.split()), statement.values)


def test_names_are_quoted_whatever_they_hold():
    assert compiled().sql == "select [Id], [Größe ?], [At] from [Sales Data].[Order]]s %]"


@given(
    names=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True),
    schema=st.text(min_size=1, max_size=8),
    table=st.text(min_size=1, max_size=8),
)
def test_a_whole_table_is_selected_as_sqlalchemy_would(names, schema, table):
    columns = tuple(Column(name, pa.int32(), source_type=SourceType("int")) for name in names)
    options = ReadOptions(order_by=(names[-1],))
    ours = build_query(
        ReadRequest(TableName(schema, table)), TableSchema(columns), options
    ).select()
    selected = [sql_column(name) for name in names]
    theirs = compile_statement(
        sa.select(*selected)
        .select_from(sql_table(TableName(schema, table)))
        .order_by(sql_column(names[-1]))
    )
    for word in ("SELECT ", " \nFROM ", " ORDER BY "):
        theirs = CompiledStatement(theirs.sql.replace(word, word.lower().replace("\n", ""), 1))
    assert ours == theirs


@given(name=st.text(min_size=1, max_size=12))
def test_a_condition_leaves_the_names_as_they_are(name):
    schema = TableSchema((Column(name, pa.int32(), source_type=SourceType("int")),))
    request = ReadRequest(TABLE, KeyRange(name, 5))
    statement = build_query(request, schema, ReadOptions()).select()
    assert statement.sql.startswith(f"SELECT {quoted(name)} \nFROM [Sales Data].")
    assert statement.values == (5,)


def test_only_the_asked_columns_are_selected_in_their_order():
    assert compiled(ReadOptions(), columns=("At", "Id")).sql.startswith("select [At], [Id] from")


def test_slice_values_are_bound():
    statement = compiled(
        rows=AllOf((KeyRange("Id", 5, 9), Values("Größe ?", ("x'; drop table y; --", "?"))))
    )
    assert statement.sql.endswith("WHERE [Id] >= ? AND [Id] < ? AND [Größe ?] IN (?, ?)")
    assert statement.values == (5, 9, "x'; drop table y; --", "?")


def test_a_where_expression_is_bound_and_joined_to_the_slice():
    options = ReadOptions(
        exclude=("Where",), where=sa.or_(sql_column("Id") > 3, sql_column("Id") < 1)
    )
    statement = compiled(options, rows=KeyRange("Id", 0))
    assert statement.sql.endswith("WHERE [Id] >= ? AND ([Id] > ? OR [Id] < ?)")
    assert statement.values == (0, 3, 1)


def test_a_where_text_is_the_users_own_sql_in_brackets():
    options = ReadOptions(
        exclude=("Where",), where="Id % 2 = 0 or [At] > '2024-01-01 10:30' and ':x' <> ''"
    )
    statement = compiled(options, rows=KeyRange("Id", 0))
    assert statement.sql.endswith(
        "WHERE [Id] >= ? AND (Id % 2 = 0 or [At] > '2024-01-01 10:30' and ':x' <> '')"
    )


@pytest.mark.parametrize("rows", [None, KeyRange("Id", 0)])
def test_rows_can_be_ordered(rows):
    statement = compiled(ReadOptions(exclude=("Where",), order_by=("At", "Id")), rows=rows)
    assert statement.sql.lower().endswith(" order by [at], [id]")


def test_a_cast_is_made_by_the_server_and_changes_the_schema():
    options = ReadOptions(cast={"Where": "nvarchar(max)"})
    for rows in (None, KeyRange("Id", 0)):
        assert "cast([Where] as nvarchar(max)) as [Where]" in compiled(options, rows=rows).sql
    query = build_query(ReadRequest(TABLE), SCHEMA, options)
    assert query.schema.column("Where").type == pa.large_string()
    assert str(query.schema.column("Where").source_type) == "nvarchar(max)"


def test_a_type_that_cannot_be_moved_fails_only_where_it_is_selected():
    with pytest.raises(UnsupportedTypeError, match=r'exclude=\["Where"\]'):
        compiled(ReadOptions())
    assert "Where" not in compiled(ReadOptions(), columns=("Id",)).sql


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (ReadOptions(), ("Id", "Nope")),
        (ReadOptions(exclude=("Nope",)), None),
        (ReadOptions(exclude=("Where",), order_by=("Nope",)), None),
        (ReadOptions(exclude=("Where",), cast={"Nope": "int"}), None),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(options, columns):
    with pytest.raises(ColumnNotFoundError) as caught:
        compiled(options, columns=columns)
    assert str(caught.value) == (
        'No such column: "Nope". The columns are "Id", "Größe ?", "At", "Where".'
    )


def test_the_key_is_kept_only_with_all_its_columns():
    assert build_query(ReadRequest(TABLE), SCHEMA, MOVABLE).schema.primary_key == ("Id",)
    part = build_query(ReadRequest(TABLE, columns=("At",)), SCHEMA, ReadOptions())
    assert part.schema.primary_key == ()


def test_a_bound_on_a_datetime_column_meets_the_tick_it_was_read_from():
    shown = dt.datetime(2024, 1, 1, 0, 0, 0, 7000)  # stored as .006666...
    statement = compiled(rows=KeyRange("At", shown))
    assert statement.sql.endswith("WHERE [At] >= CAST(? AS datetime)")
    assert statement.values == ("2024-01-01T00:00:00.007",)


def test_a_bound_between_the_ticks_is_one_beyond_the_tick_before_it():
    between = dt.datetime(2024, 1, 1, 0, 0, 0, 5000)
    statement = compiled(rows=KeyRange("At", between))
    assert statement.sql.endswith("WHERE [At] > CAST(? AS datetime)")
    assert statement.values == ("2024-01-01T00:00:00.003",)


def test_datetime_values_of_a_list_are_met_too():
    moments = (dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2))
    statement = compiled(rows=Values("At", moments))
    assert statement.sql.endswith("WHERE [At] = CAST(? AS datetime) OR [At] = CAST(? AS datetime)")
    assert statement.values == ("2024-01-01T00:00:00.000", "2024-01-02T00:00:00.000")


def test_more_values_than_sql_server_takes_are_refused():
    with pytest.raises(
        ConfigurationError, match="compares with 2101 values; SQL Server takes 2100"
    ):
        compiled(rows=Values("Id", tuple(range(2101))))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"parts": 0}, "parts is 0. Give 1 to 16"),
        ({"parts": 2, "order_by": ("Id",)}, "cannot be ordered"),
        ({"batch_rows": 0}, "must be 1 or more"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        ReadOptions(**wrong)
