"""Addresses and settings: read exactly, refused clearly, and never with the password in view."""

import traceback

import pyarrow as pa
import pytest

from tranship.errors import ConfigurationError
from tranship.postgres.ddl import check_names
from tranship.postgres.settings import PostgresSettings
from tranship.tables import Column, TableName, TableSchema
from tranship.writes import WriteRequest

PASSWORD = "p@ss/w:rd%"
URL = "postgresql+psycopg2://etl:p%40ss%2Fw%3Ard%25@db.example.com:6543/ware?sslmode=require&connect_timeout=3"


def test_a_url_is_read_with_all_its_parts() -> None:
    settings = PostgresSettings.from_url(URL, lock_wait_seconds=5.0)
    assert settings == PostgresSettings(
        host="db.example.com", port=6543, database="ware", user="etl", password=PASSWORD,
        sslmode="require", connect_timeout_seconds=3, lock_wait_seconds=5.0,
    )  # fmt: skip


def test_a_socket_folder_is_a_host() -> None:
    assert PostgresSettings.from_url("postgresql://postgres@/db?host=/run/pg").host == "/run/pg"


def test_the_password_is_in_no_text() -> None:
    settings = PostgresSettings.from_url(URL)
    assert PASSWORD not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://etl:s3cret@db:port/x", "is not a URL"),
        ("mysql://etl:s3cret@db/x", "'mysql' is not Postgres"),
        ("postgresql://etl:s3cret@db/x?sslmode=maybe", "sslmode is 'maybe'"),
        ("postgresql://etl:s3cret@db/x?ssl=1", "unknown settings: ssl"),
    ],
)
def test_a_wrong_url_says_what_is_wrong_without_the_password(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        PostgresSettings.from_url(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)).replace(url, "")


def request(**settings: object) -> WriteRequest:
    return WriteRequest(TableName("public", "t"), **settings)  # pyright: ignore[reportArgumentType]


def schema(*names: str) -> TableSchema:
    return TableSchema(tuple(Column(name, pa.int32()) for name in names))


def test_63_bytes_are_a_name_and_64_are_not() -> None:
    check_names(request(), schema("ü" * 31 + "x"))
    with pytest.raises(ConfigurationError) as caught:
        check_names(request(), schema("ü" * 32))
    assert str(caught.value) == (
        f"The column name {'ü' * 32!r} for public.t is 64 bytes long; Postgres cuts names after 63. "
        "Choose a shorter name."
    )
    with pytest.raises(ConfigurationError, match=r"The table name 'x+' is 64 bytes long"):
        check_names(WriteRequest(TableName("public", "x" * 64)), schema("a"))


def test_1600_columns_are_a_table_and_1601_are_not() -> None:
    check_names(request(), schema(*(f"c{number}" for number in range(1600))))
    with pytest.raises(
        ConfigurationError, match="have 1601 columns; a Postgres table has at most 1600"
    ):
        check_names(request(), schema(*(f"c{number}" for number in range(1601))))


@pytest.mark.parametrize(
    ("name", "words"), [("ctid", "one of Postgres's system columns"), ("a\0b", r"contains U\+0000")]
)
def test_names_that_postgres_cannot_have(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_names(request(), schema(name))


def test_no_columns_are_no_table() -> None:
    with pytest.raises(ConfigurationError, match="have no columns"):
        check_names(request(), schema())
