"""The Dagster resource, as assets use it."""

import dagster as dg
import pytest

from tranship.frames import Batches
from tranship.slices import KeyRange
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName


@pytest.fixture
def resource(settings) -> SqlServerResource:
    return SqlServerResource(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        password=settings.password,
        encrypt=settings.encrypt,
        trust_server_certificate=settings.trust_server_certificate,
    )


def test_an_asset_reads_tables_through_the_resource(resource):
    seen = {}

    @dg.asset
    def categories(sqlserver: SqlServerResource) -> None:
        (table,) = sqlserver.tables(["dbo.DimProductCategory"])
        seen["key"] = sqlserver.describe(table).primary_key
        batches = sqlserver.read(table, columns=["EnglishProductCategoryName"])
        assert isinstance(batches, Batches)
        seen["names"] = sorted(
            row["EnglishProductCategoryName"] for row in batches.to_table().to_pylist()
        )
        seen["rows"] = (
            sqlserver.row_count(table),
            sqlserver.row_count(table, KeyRange("ProductCategoryKey", 3)),
        )
        with sqlserver.connect() as connection:
            seen["one"] = connection.cursor().execute("select 1").fetchval()

    assert dg.materialize([categories], resources={"sqlserver": resource}).success
    assert seen == {
        "key": ("ProductCategoryKey",),
        "names": ["Accessories", "Bikes", "Clothing", "Components"],
        "rows": (4, 2),
        "one": 1,
    }


def test_a_rowversion_makes_the_fingerprint(resource, table, sqlserver_connection):
    name = table(
        "create table {table} (Id int primary key, Note nvarchar(9), Version rowversion)",
        "insert into {table} (Id, Note) values (1, 'a'), (2, 'b')",
    )
    before = resource.fingerprint(name)
    assert resource.fingerprint(name) == before
    sqlserver_connection.cursor().execute(f"update dbo.[{name.name}] set Note = 'c' where Id = 1")
    sqlserver_connection.commit()
    assert resource.fingerprint(name) != before


@pytest.mark.source_can("binary_checksum")
def test_all_rows_make_the_fingerprint_where_there_is_no_rowversion(
    resource, table, sqlserver_connection
):
    name = table(
        "create table {table} (Id int primary key, Note nvarchar(9))",
        "insert into {table} values (1, 'a'), (2, 'b')",
    )
    before = resource.fingerprint(name)
    assert resource.fingerprint(name) == before
    sqlserver_connection.cursor().execute(f"update dbo.[{name.name}] set Note = 'c' where Id = 1")
    sqlserver_connection.commit()
    assert resource.fingerprint(name) != before


def test_a_missing_table_of_the_resource_is_named(resource):
    with pytest.raises(Exception, match=r"There is no table dbo\.Nope"):
        resource.read(TableName("dbo", "Nope"))
