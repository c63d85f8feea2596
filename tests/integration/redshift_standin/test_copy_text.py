"""COPY of CSV, delimited and JSON files, and what is recorded of rows that are refused."""

import bz2
import gzip

import pytest

from .conftest import Database, Lake

FAILED = "Load into table 't' failed.  Check 'stl_load_errors' system table for details."


def copy(database: Database, lake: Lake, url: str, options: str, columns: str = "") -> list[tuple]:
    database.run(f"copy t {columns} from '{url}' {lake.authorization} {options}")
    return database.run("select * from t order by 1")


@pytest.fixture
def table(database: Database) -> Database:
    database.run("create table t (id int not null, name varchar(5), price decimal(6, 2), day date)")
    database.connection.commit()
    return database


def test_csv_with_header_quotes_and_nulls(table, lake: Lake, schema):
    body = b'id,name,price,day\n1,"a,""b",1.50,2024-02-29\n2,,,\n3,\\N,-0.10,2000-01-01\n'
    url = lake.put(f"{schema}/a.csv", body)
    rows = copy(table, lake, url, "csv ignoreheader 1")
    assert [(r[0], r[1], str(r[2]), str(r[3])) for r in rows] == [
        (1, 'a,"b', "1.50", "2024-02-29"),
        (2, "", "None", "None"),
        (3, None, "-0.10", "2000-01-01"),
    ]


@pytest.mark.parametrize(
    ("compress", "option"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2"), (bytes, "")]
)
def test_delimited_files_under_a_prefix(table, lake: Lake, schema, compress, option):
    for number in (1, 10):
        lake.put(f"{schema}/part-{number}", compress(f"{number}|x|1|2024-01-01\n".encode()))
    rows = copy(table, lake, f"s3://{lake.bucket}/{schema}/part-1", option)
    assert [row[0] for row in rows] == [1, 10]


def test_options_of_text_change_values(table, lake: Lake, schema):
    url = lake.put(f"{schema}/o", b"1;  ;1.239;31/12/2023\n2;abcdefgh;1;01/01/2024\n")
    options = "delimiter ';' blanksasnull truncatecolumns dateformat 'DD/MM/YYYY' roundec"
    rows = copy(table, lake, url, options)
    assert [(r[1], str(r[2]), str(r[3])) for r in rows] == [
        (None, "1.24", "2023-12-31"),
        ("abcde", "1.00", "2024-01-01"),
    ]


def test_json_lines_by_name_path_and_whole(table, lake: Lake, schema):
    body = b'{"id": 1, "name": "a", "more": {"x": [7, 8]}}\n{"name": null, "id": 2,\n "day": "2024-01-01"}\n'
    url = lake.put(f"{schema}/a.json", body)
    rows = copy(table, lake, url, "format as json 'auto'")
    assert [(r[0], r[1], str(r[3])) for r in rows] == [(1, "a", "None"), (2, None, "2024-01-01")]
    table.run("truncate t")
    paths = lake.put(f"{schema}/paths", b'{"jsonpaths": ["$.id", "$[\'more\'].x[1]"]}')
    rows = copy(table, lake, url, f"json '{paths}'", "(id, name)")
    assert [row[:2] for row in rows] == [(1, "8"), (2, None)]
    table.run("create table w (v super)")
    table.run(f"copy w from '{url}' {lake.authorization} format json 'noshred'")
    assert table.run("select json_serialize(v) from w")[0] == (
        '{"id": 1, "more": {"x": [7, 8]}, "name": "a"}',
    )


@pytest.mark.parametrize(
    ("line", "column", "code", "reason"),
    [
        (b"x1|a|1|2024-01-01", "id", 1207, "Invalid digit, Value 'x', Pos 0, Type: Integer"),
        ("1|äöü|1|2024-01-01".encode(), "name", 1204, "String length exceeds DDL length"),
        (b"1|a|b|2024-01-01", "price", 1207, "Invalid digit, Value 'b', Pos 0, Type: Decimal"),
        (b"1|a|12345.67|2024-01-01", "price", 1209, "Numeric Overflow. Column type: Decimal"),
        (b"1|a|1|2024", "day", 1205, "Invalid Date Format - length must be 10 or more"),
        (b"|a|1|2024-01-01", "id", 1213, "Missing data for not-null field"),
        (b"1|a|1|2024-01-01|more", "", 1202, "Extra column(s) found"),
        (b"1|a|1", "", 1201, "Delimiter not found"),
        (b"1|\xff|1|2024-01-01", "name", 1220, "String contains invalid or unsupported UTF8"),
    ],
)
def test_a_refused_row_is_in_the_error_tables(table, lake, schema, line, column, code, reason):
    url = lake.put(f"{schema}/bad", b"7|ok|1|2024-01-01\n" + line + b"\n")
    error = table.refusal(f"copy t from '{url}' {lake.authorization}")
    assert error.pgcode == "XX000"
    assert str(error).splitlines()[0] == FAILED
    assert table.run("select count(*) from t") == [(0,)]
    (row,) = table.run(
        """
        select trim(filename), line_number, trim(colname), err_code, trim(err_reason)
        from stl_load_errors where query = pg_last_copy_id()
        """
    )
    assert row[:4] == (url, 2, column, code)
    assert row[4].startswith(reason)
    (detail,) = table.run(
        "select error_code, trim(column_name) from sys_load_error_detail"
        " where query_id = pg_last_copy_id()"
    )
    assert detail == (code, column)


def test_maxerror_skips_rows_and_records_them(table, lake: Lake, schema):
    url = lake.put(f"{schema}/some", b"1|a|1|2024-01-01\nx|a|1|2024-01-01\n2|toolong|1|\n3|||\n")
    assert table.refusal(f"copy t from '{url}' {lake.authorization} maxerror 1").pgcode == "XX000"
    rows = copy(table, lake, url, "maxerror 2")
    assert [row[0] for row in rows] == [1, 3]
    found = table.run("select line_number from stl_load_errors where query = pg_last_copy_id()")
    assert found == [(2,), (3,)]
    assert table.run("select pg_last_copy_count()") == [(2,)]
