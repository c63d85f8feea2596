"""Table names, source types and schemas survive every way they are written down."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ColumnNotFoundError, ConfigurationError
from tranship.tables import Column, SourceType, TableName, TableSchema

NAME_PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12
)


def bracketed(part: str) -> str:
    return "[" + part.replace("]", "]]") + "]"


def quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stg_a", TableName("public", "stg_a")),
        ("dbo.stg_a", TableName("dbo", "stg_a")),
        (" dbo . stg_a ", TableName("dbo", "stg_a")),
        ("[dbo].[Order Details]", TableName("dbo", "Order Details")),
        ('dbo."Order.Details"', TableName("dbo", "Order.Details")),
        ("[a]]b]", TableName("public", "a]b")),
        ('"a""b"', TableName("public", 'a"b')),
        ("größe.表", TableName("größe", "表")),
    ],
)
def test_a_table_name_is_read_as_a_person_writes_it(text: str, expected: TableName):
    assert TableName.parse(text, default_schema="public") == expected


@pytest.mark.parametrize("write", [bracketed, quoted])
@given(schema=NAME_PARTS, name=NAME_PARTS)
def test_every_name_survives_being_bracketed_or_quoted(write, schema: str, name: str):
    parsed = TableName.parse(f"{write(schema)}.{write(name)}", default_schema="other")

    assert parsed == TableName(schema, name)


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", ".a", "a.", "[a].", "a.b.", "a..b", "a.b.c", "[a", "a]", "[]", '""', "[a]b"],
)
def test_a_text_that_is_no_table_name_is_refused_with_how_to_write_one(text: str):
    with pytest.raises(ConfigurationError) as refused:
        TableName.parse(text, default_schema="public")

    assert str(refused.value) == (
        f"{text!r} is not a table name. "
        "Write schema.table; put a part that has dots or brackets in [square brackets]."
    )


def test_table_names_sort_by_schema_then_name():
    names = [TableName("b", "a"), TableName("a", "z"), TableName("a", "b")]

    assert [str(name) for name in sorted(names)] == ["a.b", "a.z", "b.a"]


# https://learn.microsoft.com/sql/t-sql/data-types/data-types-transact-sql
PLAIN_TYPES = [
    *("bigint", "int", "smallint", "tinyint", "bit", "money", "smallmoney", "float", "real"),
    *("date", "datetime", "smalldatetime", "datetime2", "datetimeoffset", "time", "rowversion"),
    *("timestamp", "uniqueidentifier", "xml", "sql_variant", "hierarchyid", "geography"),
    *("geometry", "text", "ntext", "image", "sysname", "char", "nchar", "binary", "json", "vector"),
]
DECLARED_TYPES = [
    *("decimal(1,0)", "decimal(19,4)", "numeric(38,38)", "float(53)", "time(0)", "datetime2(7)"),
    *("datetimeoffset(3)", "char(1)", "nchar(10)", "varchar(8000)", "nvarchar(4000)"),
    *("varchar(max)", "nvarchar(max)", "varbinary(max)", "binary(16)", "varbinary(8000)"),
]


@pytest.mark.parametrize("declaration", [*PLAIN_TYPES, *DECLARED_TYPES])
def test_every_tsql_type_reads_back_as_it_was_declared(declaration: str):
    assert str(SourceType.parse(declaration)) == declaration


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("NVARCHAR ( 50 )", SourceType("nvarchar", length=50)),
        ("nvarchar(MAX)", SourceType("nvarchar")),
        ("decimal(19, 4)", SourceType("decimal", precision=19, scale=4)),
        ("numeric(9)", SourceType("numeric", precision=9, scale=0)),
        ("datetime2(7)", SourceType("datetime2", precision=7)),
        ("varbinary(16)", SourceType("varbinary", length=16)),
        (" double precision ", SourceType("double precision")),
        ("character varying(10)", SourceType("character varying", length=10)),
    ],
)
def test_a_type_is_read_into_its_parts(declaration: str, expected: SourceType):
    assert SourceType.parse(declaration) == expected


@pytest.mark.parametrize("text", ["", "7up", "varchar(", "varchar(x)", "decimal(1,2,3)", "a;drop"])
def test_a_text_that_is_no_type_is_refused_with_how_to_write_one(text: str):
    with pytest.raises(ConfigurationError) as refused:
        SourceType.parse(text)

    assert str(refused.value) == (
        f"{text!r} is not a column type. Write it as in DDL: nvarchar(50)."
    )


COLUMNS = st.builds(
    Column,
    name=NAME_PARTS,
    type=st.sampled_from(
        [
            pa.int32(),
            pa.large_string(),
            pa.decimal128(19, 4),
            pa.timestamp("us", "UTC"),
            pa.date32(),
        ]
    ),
    nullable=st.booleans(),
    source_type=st.none() | st.sampled_from([*PLAIN_TYPES, *DECLARED_TYPES]).map(SourceType.parse),
    comment=st.none() | NAME_PARTS,
)


@given(columns=st.lists(COLUMNS, max_size=5, unique_by=lambda column: column.name), data=st.data())
def test_a_schema_survives_its_way_through_arrow_and_a_file(columns: list[Column], data):
    key = data.draw(st.lists(st.sampled_from(columns), unique=True) if columns else st.just([]))
    schema = TableSchema(
        tuple(columns), tuple(column.name for column in key), data.draw(st.none() | NAME_PARTS)
    )

    through_ipc = pa.ipc.read_schema(schema.to_arrow().serialize())

    assert TableSchema.from_arrow(schema.to_arrow()) == schema
    assert TableSchema.from_arrow(through_ipc) == schema


def test_an_arrow_schema_of_someone_else_has_no_source_types_and_no_key():
    foreign = pa.schema(
        [pa.field("id", pa.int8(), metadata={"PARQUET:field_id": "1"})], metadata={"pandas": "{}"}
    )

    assert TableSchema.from_arrow(foreign) == TableSchema((Column("id", pa.int8()),))


ORDERS = TableSchema(
    (
        Column("id", pa.int32(), nullable=False),
        Column("line", pa.int32(), nullable=False),
        Column("Note", pa.string()),
    ),
    primary_key=("id", "line"),
)


def test_selected_columns_come_in_the_order_asked_for():
    assert ORDERS.select(["Note", "id"]).names == ("Note", "id")


def test_the_key_is_kept_only_where_all_of_it_is_selected():
    assert ORDERS.select(["line", "id"]).primary_key == ("id", "line")
    assert ORDERS.select(["id", "Note"]).primary_key == ()


@pytest.mark.parametrize(
    "ask", [lambda: ORDERS.select(["id", "note"]), lambda: ORDERS.column("note")]
)
def test_a_column_of_another_case_is_not_found_and_the_columns_are_listed(ask):
    with pytest.raises(ColumnNotFoundError) as missing:
        ask()

    assert str(missing.value) == ('No such column: "note". The columns are "id", "line", "Note".')
