"""What a column of Postgres is read as, and what it is when it was written to Postgres again."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from tests.integration.postgres_source.conftest import Make, Open, Run, values

from tranship.errors import ConfigurationError, UnsupportedTypeError, ValueDoesNotFitError
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.redshift.types import type_for
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

EXACT: dict[str, list[str]] = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "numeric": ["1.10", "1.1", "NaN", "-Infinity", "9" * 90, "0.000000000000000000000000000000000000000001"],
    "numeric(38,10)": ["-9999999999999999999999999999.9999999999", "0.0000000001"],
    "numeric(50,2)": ["9" * 48 + ".01", "NaN"],
    "numeric(5,0)": ["99999"],
    "real": ["3.4028235e+38", "NaN", "-Infinity", "0.1"],
    "double precision": ["5e-324", "NaN", "Infinity", "0.1"],
    "boolean": ["t", "f"],
    "text": ["", " ", '"x",\n\\.\r\n', "\U0001f600 é"],
    "character varying(7)": ["seven 7", ""],
    "bytea": [r"\x", r"\x00ff0a5c"],
    "date": ["0001-01-01", "9999-12-31", "2000-02-29"],
    "time without time zone": ["23:59:59.999999", "00:00:00"],
    "time with time zone": ["23:59:59.5+05:30"],
    "timestamp without time zone": ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
    "timestamp(3) without time zone": ["2024-02-29 12:00:00.123"],
    "timestamp with time zone": ["2024-10-27 02:30:00+02", "1900-01-01 00:00:00.000001+00"],
    "interval": ["1 year 2 mons -3 days 04:05:06.7", "-00:00:00.000001", "178000000 years"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "json": ['{"a":  1, "a": 2}', "null"],
    "jsonb": ['{"a": 1e400}', '"x"'],
    "inet": ["10.0.0.0/8", "::1"],
    "macaddr": ["08:00:2b:01:02:03"],
    "int4range": ["[1,5)", "empty"],
    "tstzrange": ['["2024-01-01 00:00:00+00",)'],
    "bit varying(9)": ["101", ""],
    "integer[]": ["{1,NULL,3}", "{}"],
    "text[]": [r'{"a,b",NULL,"NULL","x\"y\\z",""," "}', r'{"line\nend","{}"}'],
    "numeric(10,2)[]": ["{1.50,NULL,-0.01}"],
    "double precision[]": ["{1.5,Infinity,NaN,5e-324}"],
    "timestamp with time zone[]": ["{2024-01-01 02:00:00+02}"],
    "time without time zone[]": ["{23:59:59.5}"],
    "boolean[]": ["{t,f,NULL}"],
    "bytea[]": [r'{"\\x00ff",NULL}'],
    "uuid[]": ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    "jsonb[]": [r'{"{\"a\": 1}"}'],
}  # fmt: skip
"""Types that arrive as themselves, with values at their ends."""
WIDER = {"numeric(50,2)": "numeric"}
"""Those that arrive as a type which holds more."""


@pytest.mark.parametrize("declared", EXACT)
def test_what_is_read_and_written_again_is_the_same_type_and_the_same_values(
    make: Make, source: Open, settings: PostgresSettings, run: Run, declared: str
) -> None:
    rows = [f"{number}, '{value}'" for number, value in enumerate(EXACT[declared])]
    table = make(f"id int primary key, v {declared}", *rows, f"{len(rows)}, null")
    copy = TableName(table.schema, "copy")

    write(settings, WriteRequest(copy), source(table).read(("id", "v")))

    types = "select format_type(atttypid, atttypmod) from pg_attribute where attname = 'v' and attrelid = '{}'::regclass"
    assert run(types, copy) == [(WIDER.get(declared, declared),)]
    texts = "select id, v::text from {} order by id"
    assert run(texts, copy) == run(texts, table)


AS_TEXT = {
    "character(4)": ("'ab'", "ab  ", "varchar(4)"),
    "{schema}.mood": ("'so so'", "so so", "text"),
    "{schema}.pair": ("row(1, 'a b')", '(1,"a b")', "text"),
    "{schema}.even": ("12", 12, "integer"),
    "{schema}.even[]": ("array[2, 4]::{schema}.even[]", ["2", "4"], "jsonb"),
    "xid8": ("'18446744073709551615'", "18446744073709551615", "text"),
    "point": ("'(1,2)'", "(1,2)", "text"),
}


@pytest.mark.parametrize("declared", AS_TEXT)
def test_types_that_are_only_here_arrive_as_what_they_are_made_of_or_as_texts(
    make: Make,
    source: Open,
    settings: PostgresSettings,
    run: Run,
    postgres_schema: str,
    declared: str,
) -> None:
    run(f"create type {postgres_schema}.mood as enum ('so so')")
    run(f"create type {postgres_schema}.pair as (a int, b text)")
    run(f"create domain {postgres_schema}.even as int check (value % 2 = 0)")
    literal, expected, arrives = AS_TEXT[declared]
    of_schema = {"schema": postgres_schema}
    table = make(f"v {declared.format(**of_schema)}", literal.format(**of_schema))
    copy = TableName(table.schema, "copy")

    batches = source(table).read(("v",))
    write(settings, WriteRequest(copy), batches)

    assert batches.to_table().to_pylist() == [{"v": expected}]
    types = "select format_type(atttypid, atttypmod) from pg_attribute where attname = 'v' and attrelid = '{}'::regclass"
    shown = run(types, copy)[0][0].replace("character varying", "varchar")
    assert shown == arrives


@pytest.mark.parametrize(
    ("declared", "type_"),
    [
        ("numeric(19,4)", "decimal(19,4)"),
        ("numeric", "varchar(256)"),
        ("text[]", "super"),
        ("timestamptz", "timestamptz"),
        ("json", "varchar"),
        ("uuid", "varchar(36)"),
        ("varchar(7)", "varchar(28)"),
    ],
)
def test_columns_have_the_type_in_redshift_that_holds_them(
    make: Make, source: Open, declared: str, type_: str
) -> None:
    table = make(f"v {declared}")
    schema = TableSchema.from_arrow(source(table).read(("v",)).schema)
    assert str(type_for(schema.column("v"))) == type_


@pytest.mark.parametrize(
    ("declared", "literal"),
    [
        ("timestamp", "'infinity'"),
        ("timestamptz", "'-infinity'"),
        ("date", "'0044-03-15 BC'"),
        ("date", "'10000-01-01'"),
        ("numeric(5,2)", "'NaN'"),
        ("integer[]", "'{{1},{2}}'"),
        ("time", "'24:00'"),
    ],
)
def test_a_value_without_form_is_refused_by_name_with_what_to_do(
    make: Make, source: Open, declared: str, literal: str
) -> None:
    table = make(f'id int, "Odd one" {declared}', f"2, {literal}")

    with pytest.raises(ValueDoesNotFitError) as caught:
        values(source(table))

    assert f'{table} holds a value in column "Odd one"' in str(caught.value)
    assert "cast: {Odd one: text}" in str(caught.value)
    assert values(source(table, cast={"Odd one": "text"}), "Odd one")[0][0] is not None
    assert values(source(table), "id") == [(2,)]


def test_money_is_refused_with_the_cast_that_moves_it(make: Make, source: Open) -> None:
    table = make("id int, price money", "1, 12.34")
    opened = source(table)
    assert opened.schema.column("price").type == pa.null()
    with pytest.raises(UnsupportedTypeError, match=r"cast: \{price: numeric\(19,2\)\}"):
        opened.read(("id", "price"))
    assert values(source(table, cast={"price": "numeric(19,2)"}), "price") == [(Decimal("12.34"),)]


@pytest.mark.parametrize("declared", ["no type)", "money", "int; drop table x"])
def test_a_cast_to_what_is_no_type_is_refused_before_anything_is_read(
    make: Make, source: Open, declared: str
) -> None:
    table = make("id int")
    with pytest.raises(ConfigurationError, match="no type of Postgres that can be moved"):
        source(table, cast={"id": declared}).read(("id",))


def test_a_cast_to_a_type_that_the_server_lacks_names_it(make: Make, source: Open) -> None:
    table = make("id int")
    batches = source(table, cast={"id": "nosuch"}).read(("id",))
    with pytest.raises(ConfigurationError, match=r'type "nosuch" does not exist'):
        batches.to_table()


def test_the_settings_of_a_role_do_not_change_what_is_read(
    make: Make, source: Open, role: Any
) -> None:
    table = make(
        "a timestamptz, b date, c float8, d bytea, e interval",
        "'2024-07-01 12:00+00', '2024-07-01', 0.1, '\\x5c', '1 day'",
    )
    odd = role(
        "grant select on all tables in schema " + table.schema + " to <role>",
        "alter role <role> set datestyle = 'German'",
        "alter role <role> set timezone = 'Asia/Kolkata'",
        "alter role <role> set extra_float_digits = -5",
        "alter role <role> set bytea_output = 'escape'",
        "alter role <role> set intervalstyle = 'iso_8601'",
    )
    assert values(source(table, odd)) == values(source(table))
    assert values(source(table, odd), "e") == [("1 day",)]
