"""Reading COPY, UNLOAD and DDL without a server."""

import pytest

from standins.redshift.copy_command import read_copy
from standins.redshift.ddl import create_table, create_table_as
from standins.redshift.errors import RedshiftError, from_backend
from standins.redshift.parquet_files import decimal_bytes
from standins.redshift.rewrite import SessionSettings
from standins.redshift.statements import Statement, split
from standins.redshift.unload_command import GIGABYTE, MEGABYTE, read_unload


def one(sql: str) -> Statement:
    (statement,) = split(sql)
    return statement


def test_copy_is_read_whole():
    command = read_copy(
        one(
            """
            COPY "Sales"."T" ("A", b) -- a comment
            FROM 's3://bucket/it''s/key' WITH CREDENTIALS AS 'aws_iam_role=arn'
            FORMAT AS CSV QUOTE AS '^' DELIMITER AS ';' NULL AS 'nil' IGNOREHEADER AS 2
            GZIP TRUNCATECOLUMNS COMPUPDATE OFF STATUPDATE ON MAXERROR 10 ACCEPTINVCHARS '!'
            """
        )
    )
    assert (command.table, command.columns) == (("sales", "t"), ["a", "b"])
    assert (command.source, command.format) == ("s3://bucket/it's/key", "csv")
    assert command.options == {
        "QUOTE": "^", "DELIMITER": ";", "NULL": "nil", "IGNOREHEADER": 2, "GZIP": True,
        "TRUNCATECOLUMNS": True, "COMPUPDATE": "OFF", "STATUPDATE": "ON", "MAXERROR": 10,
        "ACCEPTINVCHARS": "!",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "size"),
    [("5", 5 * MEGABYTE), ("5 mb", 5 * MEGABYTE), ("0.5 GB", GIGABYTE // 2), ("6.2gb", int(6.2 * GIGABYTE))],
)  # fmt: skip
def test_maxfilesize_has_a_unit(written, size):
    sql = f"unload ('select 1') to 's3://b/k' iam_role default maxfilesize {written}"
    assert read_unload(one(sql), SessionSettings()).max_file_bytes == size


def test_the_query_of_an_unload_is_translated():
    sql = "unload ($$select \"A\", 'x' from t where b = 'it''s'$$) to 's3://b/k' iam_role default"
    assert read_unload(one(sql), SessionSettings()).query == (
        "select \"a\", 'x' from t where b = 'it''s'"
    )


def test_create_table_is_translated():
    created = create_table(
        one(
            "create table S.t (id int identity(7, -2) primary key, v nvarchar(9) default 'a,)b') sortkey (id)"
        )
    )
    assert created.table == ("s", "t")
    assert created.statements[0] == (
        'create table "s"."t" (\n'
        '    "id" integer generated always as identity (start with 7 increment by -2 maxvalue 7)'
        " not null,\n"
        "    \"v\" varchar(9) default 'a,)b',\n"
        '    constraint "rsbytes_9_v" check (octet_length("v") <= 9)\n)'
    )


def test_create_table_as_keeps_its_query():
    created = create_table_as(
        one('create temp table t distkey (a) sortkey (a, b) as select "A", b from u where c = (1)'),
        SessionSettings(),
    )
    assert created.statements[0] == ('create temp table "t" as select "a", b from u where c = (1)')


@pytest.mark.parametrize(
    ("digits", "size"), [(1, 1), (2, 1), (3, 2), (9, 4), (10, 5), (18, 8), (19, 9), (38, 16)]
)
def test_decimals_have_the_width_of_their_digits(digits, size):
    assert decimal_bytes(digits) == size


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"C": "40001", "M": "could not serialize"}, "XX000", "1023"),
        ({"C": "23514", "M": "x", "n": "rsbytes_5_name"}, "22001",
         "value too long for type character varying(5)"),
        ({"C": "23514", "M": "x", "n": "rsbytes_c5_name"}, "22001",
         "value too long for type character(5)"),
        ({"C": "23502", "M": "x", "c": "id"}, "XX000", "Cannot insert a NULL value into column id"),
        ({"C": "22003", "M": "numeric field overflow"}, "XX000",
         "Numeric data overflow (result precision)"),
        ({"C": "42P01", "M": 'relation "t" does not exist'}, "42P01", 'relation "t" does not exist'),
    ],
)  # fmt: skip
def test_errors_of_postgres_become_redshifts(fields, code, message):
    found = from_backend({"S": "ERROR"} | fields)
    assert (found["C"], found["M"]) == (code, message)


READERS = {
    "copy": read_copy,
    "unload": lambda statement: read_unload(statement, SessionSettings()),
    "create": create_table,
}


@pytest.mark.parametrize("sql", ["copy t from", "unload (", "create table t (id", "copy t"])
def test_a_statement_that_ends_too_early_is_a_syntax_error(sql):
    with pytest.raises(RedshiftError, match="syntax error"):
        READERS[sql.split()[0]](one(sql))
