"""What the catalogue says of tables, in a fixed number of queries."""

from dataclasses import replace

import pyarrow as pa
import pytest

from tranship.errors import TableNotFoundError
from tranship.sqlserver import catalogue, inspection
from tranship.sqlserver.statements import run
from tranship.tables import Column, SourceType, TableName


def test_the_sample_is_found_by_wildcard(settings):
    found = catalogue.list_tables(settings, ["dbo.DimProduct*"], exclude=["dbo.*Category"])
    assert found == [TableName("dbo", "DimProduct")]


def test_a_table_is_described_with_exact_types_and_its_key(settings, table):
    name = table(
        """
        create table {table} (
            [Order No] int not null, Line smallint not null, Price money, Note nvarchar(50), Body nvarchar(max),
            Rate decimal(9, 3) not null, At datetime2(3), Version rowversion, primary key (Line, [Order No])
        )
        """
    )
    schema = catalogue.describe(settings, name)
    assert schema.primary_key == ("Line", "Order No")
    # How texts are compared is what tests/unit/sqlserver/test_collations.py is about.
    assert tuple(replace(column, equality=None) for column in schema.columns) == (
        Column("Order No", pa.int32(), False, SourceType("int")),
        Column("Line", pa.int16(), False, SourceType("smallint")),
        Column("Price", pa.decimal128(19, 4), True, SourceType("money")),
        Column("Note", pa.large_string(), True, SourceType("nvarchar", length=50)),
        Column("Body", pa.large_string(), True, SourceType("nvarchar")),
        Column("Rate", pa.decimal128(9, 3), False, SourceType("decimal", precision=9, scale=3)),
        Column("At", pa.timestamp("us"), True, SourceType("datetime2", precision=3)),
        Column("Version", pa.binary(8), False, SourceType("rowversion")),
    )


def test_a_column_that_cannot_be_moved_is_described_all_the_same(settings, table):
    name = table("create table {table} (Id int primary key, Place geography)")
    place = catalogue.describe(settings, name).column("Place")
    assert (place.type, place.source_type) == (pa.null(), SourceType("geography"))


def test_identity_and_the_estimate_of_rows_are_known(settings, table):
    name = table(
        "create table {table} (Id int identity primary key, Note nvarchar(9))",
        "insert into {table} (Note) values ('a'), ('b'), ('c')",
    )
    found = catalogue.inspect_table(settings, name)
    assert (found.identity, found.computed, found.is_view) == (("Id",), (), False)
    assert catalogue.row_count_estimate(settings, name) == 3


def test_a_missing_table_is_answered_with_close_names(settings):
    with pytest.raises(TableNotFoundError) as caught:
        catalogue.describe(settings, TableName("dbo", "DimProdukt"))
    assert str(caught.value).startswith(
        f'There is no table dbo.DimProdukt in the database "{settings.database}". '
        "Did you mean dbo.DimProduct"
    )


def test_sizes_are_known_where_the_server_keeps_them_and_never_fail(settings, table):
    name = table("create table {table} (Id int primary key)", "insert into {table} values (1)")
    # A SQL Server takes at least a page; the stand-in and Babelfish have no allocation units.
    for known, size in catalogue.table_sizes(settings, [name]).items():
        assert known == name
        assert size > 0
        assert size % 8192 == 0
    assert catalogue.table_sizes(settings, []) == {}


def test_sizes_are_pages_found_by_name_in_any_case(settings, monkeypatch):
    def answering(connection, statement):
        assert "sys.allocation_units" in statement.sql
        return [("dbo", "dimproduct", 3), ("dbo", "DimDate", None), ("other", "DimProduct", 9)]

    monkeypatch.setattr("tranship.sqlserver.inspection.rows", answering)
    product, date, missing = (TableName("dbo", name) for name in ("DimProduct", "DimDate", "X"))
    sizes = catalogue.table_sizes(settings, [product, date, missing])
    assert sizes == {product: 24_576, date: 0}


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The requests that are sent, as SQL text."""
    sent: list[str] = []

    def recording(cursor, statement):
        sent.append(statement.sql)
        return run(cursor, statement)

    monkeypatch.setattr("tranship.sqlserver.statements.run", recording)
    return sent


def test_describing_a_table_takes_one_request(settings, table, asked):
    name = table("create table {table} (Id int primary key)")
    asked.clear()
    assert catalogue.describe(settings, name).primary_key == ("Id",)
    assert len(asked) == 1
    for unused in ("INFORMATION_SCHEMA.TABLES", "sys.partitions", "is_identity"):
        assert unused not in asked[0]


def test_many_tables_take_no_more_requests_than_one(settings, table, asked):
    names = [table("create table {table} (Id int primary key)") for _ in range(4)]
    asked.clear()
    found = catalogue.describe_many(settings, names)
    assert list(found) == names
    assert {schema.primary_key for schema in found.values()} == {("Id",)}
    assert len(asked) == 1
    asked.clear()
    assert list(catalogue.inspect_tables(settings, names)) == names
    # Which are views, what they are, and what of a record of changes there is: the database, the tables, the login.
    assert len(asked) == 5
    asked.clear()
    catalogue.inspect_tables(settings, names[:1])
    assert len(asked) == 5


def test_more_tables_than_one_request_can_name_are_all_described(settings, table, monkeypatch):
    monkeypatch.setattr("tranship.sqlserver.catalogue._TABLES_PER_QUERY", 2)
    names = [table("create table {table} (Id int primary key)") for _ in range(3)]
    assert list(catalogue.describe_many(settings, names)) == names
    assert list(catalogue.inspect_tables(settings, names)) == names


def test_a_view_that_the_server_lacks_costs_its_fact_alone(settings, table, monkeypatch, caplog):
    name = table("create table {table} (Id int identity primary key, Note nvarchar(9))")
    missing = "select 1 from sys.no_such_view where 'x' in (:schemas) and 'x' in (:tables)"
    monkeypatch.setitem(inspection.OPTIONAL, inspection.COMMENTS, missing)
    with caplog.at_level("INFO", logger="tranship.sqlserver"):
        found = catalogue.inspect_table(settings, name)
    assert found.schema.primary_key == ("Id",)
    assert found.identity == ("Id",)
    assert [record.message.split(" does not tell ")[1][:9] for record in caplog.records] == [
        "comments:"
    ]


def test_a_name_in_another_case_is_answered_with_the_right_one(settings, table):
    name = table("create table {table} (Id int)")
    other = TableName(name.schema, name.name.swapcase())
    with pytest.raises(
        TableNotFoundError, match=f"There is no table {other} .* Did you mean {name}"
    ):
        catalogue.describe(settings, other)
    with pytest.raises(TableNotFoundError, match=f"There is no table {other} "):
        catalogue.row_count_estimate(settings, other)


def test_one_missing_table_of_several_is_named(settings, table):
    name = table("create table {table} (Id int)")
    for look in (catalogue.describe_many, catalogue.inspect_tables):
        with pytest.raises(TableNotFoundError, match=r"There is no table dbo\.Nowhere_such "):
            look(settings, [name, TableName("dbo", "Nowhere_such")])
