"""Clusters that keep the case of names (enable_case_sensitive_identifier): never a second table, never a second column."""

import re
from contextlib import closing

import psycopg2
import pyarrow as pa
import pytest
from redshift_places import Database

from tranship.errors import ConfigurationError
from tranship.reads import ReadRequest
from tranship.redshift.reader import read

ROWS = pa.table({"Id": [1], "Region": ["north"]})


def keeping_case(database: Database, *statements: str) -> None:
    """Run statements as a session that keeps case does."""
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set enable_case_sensitive_identifier to true")
        for statement in statements:
            cursor.execute(statement.replace("{schema}", database.schema))


def tables(database: Database) -> list[str]:
    rows = database.rows(
        "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = %s and relkind = 'r' order by 1",
        database.schema,
    )
    return [name for (name,) in rows]


def test_a_table_in_another_case_is_told_and_none_is_made_beside_it(database: Database) -> None:
    keeping_case(database, 'create table {schema}."Sales" (id bigint, region varchar(20))')
    for call in (
        lambda: database.write(ROWS, "Sales"),
        lambda: read(database.settings, ReadRequest(database.table("Sales"))),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert '"Sales", whose letters differ in case only' in str(caught.value)
    assert tables(database) == ["Sales"]


def test_what_the_error_prints_makes_the_write_work(database: Database) -> None:
    keeping_case(database, 'create table {schema}."Sales" ("Id" bigint, region varchar(20))')
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            database.write(ROWS, "Sales")
        printed = re.search(r"keeps case: |such a session: ", caught.value.remedy)
        assert printed is not None
        keeping_case(database, caught.value.remedy[printed.end() :])
    for _ in range(2):
        database.write(ROWS, "Sales")
        assert database.rows("select id, region from {schema}.sales") == [(1, "north")]


def test_a_column_in_another_case_is_told_and_none_is_added(database: Database) -> None:
    keeping_case(database, 'create table {schema}.sales ("Id" bigint, region varchar(20))')
    with pytest.raises(ConfigurationError, match=r'columns with capital letters \("Id"\)'):
        database.write(ROWS, on_schema_change="evolve")
    assert list(database.types()) == ["Id", "region"]


@pytest.mark.parametrize("mode", ["on", "off"])
def test_a_session_of_either_kind_writes_and_reads_its_own_tables(
    faulty: Database, standin, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    services = standin._services
    monkeypatch.setattr(
        standin,
        "_services",
        type(services)(
            services.roles,
            services.faults,
            services.ids,
            services.s3_endpoint,
            case_sensitive_names=mode == "on",
        ),
    )
    with closing(faulty.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("show enable_case_sensitive_identifier")
        assert cursor.fetchone() == (mode,)
        with pytest.raises(psycopg2.Error):
            cursor.execute("set standard_conforming_strings to on")
    for _ in range(2):
        faulty.write(ROWS, "FactSales")
    assert tables(faulty) == ["factsales", "factsales__writes"]
    assert read(faulty.settings, ReadRequest(faulty.table("FactSales"))).to_table().num_rows == 1
