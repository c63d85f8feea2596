"""What is said of a Postgres source without asking one: rules of keys, types, identities, arrays."""

from typing import Any

import psycopg2
import psycopg2.errors
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    TranshipError,
    ValueDoesNotFitError,
)
from tranship.identity import SourceIdentity
from tranship.keys import refuse_unknown
from tranship.postgres.identity import difference, identity_gaps
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.source_faults import reading
from tranship.postgres.source_types import equality_of, moved_as, source_type
from tranship.postgres.text_forms import lists_of, texts_of
from tranship.postgres.types import PostgresType, column_type
from tranship.tables import Column, SourceType, TableName

TABLE = TableName("public", "orders")
SETTINGS = PostgresSettings(host="db", database="sales", user="etl", password="hunter2")


@pytest.mark.parametrize(
    ("declared", "deterministic", "known"),
    [
        ("text", True, None),
        ("varchar(9)", True, None),
        ("citext", True, False),
        ("extensions.citext", True, False),
        ("text", False, False),
        ("char(3)", False, False),
        ("char(3)", True, True),
        ("bpchar", True, True),
    ],
)
def test_a_key_is_compared_as_its_type_and_collation_do_or_not_at_all(
    declared: str, deterministic: bool, known: bool | None
) -> None:
    rule = equality_of(PostgresType.parse(declared), "und-x", is_deterministic=deterministic)
    assert (None if rule is None else rule.knows("Ann")) is known


def test_a_key_of_citext_is_refused_by_its_name() -> None:
    from tranship.frames import Batches

    rule = equality_of(PostgresType.parse("citext"), None, is_deterministic=True)
    assert rule is not None
    rows = Batches.of(pa.table({"mail": ["a@b.c"]}))
    with pytest.raises(
        TranshipError, match=r'key column "mail" of public\.orders .* the type citext'
    ):
        refuse_unknown(rows, {"mail": rule}, TABLE, "Name another key.").to_table()


@pytest.mark.parametrize(
    "declared", ["integer[]", "numeric(9,2)[]", "varchar(5)[]", "text[]", "timestamp(3)"]
)
def test_a_type_survives_its_way_in_the_metadata(declared: str) -> None:
    type_ = PostgresType.parse(declared)
    told = source_type(type_)
    assert told is not None
    assert SourceType.parse(str(told)) == told
    column = Column("v", moved_as(type_), source_type=told)
    assert str(column_type(Column.from_field(column.to_field()))) == declared


def test_an_array_of_another_databases_own_type_goes_into_json() -> None:
    column = Column("v", pa.list_(pa.large_string()), source_type=SourceType("mood[]"))
    assert str(column_type(column)) == "jsonb"


@given(
    values=st.lists(
        st.none()
        | st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=5)
    )
)
def test_lists_of_any_texts_come_back_from_their_array_texts(
    values: list[list[str | None] | None],
) -> None:
    lists = pa.array(values, pa.list_(pa.large_string()))
    assert lists_of(texts_of(lists), lists.type).to_pylist() == values


@given(
    values=st.lists(st.none() | st.lists(st.none() | st.binary(max_size=5), max_size=3)),
    cut=st.integers(0, 3),
)
def test_a_slice_of_lists_has_its_own_values_alone(
    values: list[list[bytes | None] | None], cut: int
) -> None:
    lists = pa.array(values, pa.list_(pa.large_binary())).slice(cut)
    assert lists_of(texts_of(lists), lists.type).to_pylist() == values[cut:]


def identity(**parts: object) -> SourceIdentity:
    return SourceIdentity.of(parts)


def test_what_only_one_side_tells_is_no_difference() -> None:
    before = identity(system_identifier=7, timeline=1, database_oid=5, table_oid=9)
    assert difference(before, identity(database_oid=5, table_oid=9)) is None
    assert difference(identity(), before) is None


def test_another_server_goes_before_what_differs_on_it_anyhow() -> None:
    before = identity(system_identifier=7, timeline=1, database_oid=5, table_oid=9)
    now = identity(system_identifier=8, timeline=2, database_oid=6, table_oid=10)
    assert (
        difference(before, now) == "it is on another server: its system_identifier is 8, and was 7"
    )


def test_what_is_not_told_is_granted_by_function() -> None:
    assert identity_gaps(identity(system_identifier=7, timeline=1), "etl") is None
    said = identity_gaps(identity(system_identifier=7), 'od"d')
    assert said is not None
    assert said.endswith('grant execute on function pg_control_checkpoint() to "od""d";')
    assert "pg_control_system" not in said


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (psycopg2.errors.UndefinedColumn("column x.y does not exist"), ColumnNotFoundError, "where"),
        (psycopg2.errors.UndefinedFunction("operator does not exist"), ConfigurationError, "a function or an operator"),
        (psycopg2.errors.InvalidTextRepresentation("invalid input syntax"), ValueDoesNotFitError, "Correct where or cast"),
        (ValueError("year -44 is out of range"), ValueDoesNotFitError, "year -44 is out of range"),
        (psycopg2.errors.QueryCanceled("canceling statement"), TranshipError, "cancel"),
    ],
)  # fmt: skip
def test_errors_of_a_read_name_the_table_and_what_to_do(
    error: Exception, kind: type[Exception], says: str
) -> None:
    def fail() -> Any:
        with reading(SETTINGS, f"read of {TABLE}", TABLE):
            raise error

    if isinstance(error, psycopg2.Error) and error.pgcode is None:
        codes = {
            "UndefinedColumn": "42703", "UndefinedFunction": "42883", "InvalidTextRepresentation": "22P02",
            "QueryCanceled": "57014",
        }  # fmt: skip
        error.__setstate__({"pgcode": codes[type(error).__name__]})
    with pytest.raises(kind, match=says) as caught:
        fail()
    assert str(TABLE) in str(caught.value)
