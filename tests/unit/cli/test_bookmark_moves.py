"""Values for bookmarks are held against the cursor, and what follows from them is said before it happens."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tranship.bookmarks import Bookmark
from tranship.cli.kept_bookmarks import consequences_of_reset, move_to
from tranship.errors import ConfigurationError
from tranship.tables import TableName

AT = Bookmark(
    TableName("staging", "Orders"),
    source="dbo.Orders",
    mode="merge",
    signature="",
    write_id="w",
    cursor_column="c",
)


def at(value: str | None, **fields: Any) -> Bookmark:
    return replace(AT, cursor_value=value, **fields)


@pytest.mark.parametrize(
    ("there", "given", "kept"),
    [
        ("100", "50", "50"),
        ("100", "-7", "-7"),
        ("100", "12.50", "12.50"),
        ("2024-01-31", "2024-02-01", "2024-02-01"),
        ("2024-01-31T10:00:00", "2024-02-01", "2024-02-01T00:00:00"),
        ("2024-01-31T10:00:00", "2024-02-01 08:30:00.25", "2024-02-01T08:30:00.250000"),
        ("2024-01-31T10:00:00+00:00", "2024-02-01T10:00+02:00", "2024-02-01T10:00:00+02:00"),
        ("0x00000000000007d1", "0x7D0", "0x00000000000007d0"),
    ],
)
def test_a_value_is_kept_in_the_way_that_loads_keep_it(there: str, given: str, kept: str):
    assert move_to(at(there), given).new == kept


@pytest.mark.parametrize(
    ("there", "given", "said"),
    [
        ("100", "yesterday", "'yesterday' is no value of the cursor \"c\", which is a number. Write it like 12345."),
        ("100", "nan", "'nan' is no value of the cursor \"c\", which is a number. Write it like 12345."),
        ("2024-01-31", "31.1.2024", "which is a date. Write it like 2024-01-31."),
        ("2024-01-31T10:00:00", "17", "which is a time. Write it like 2024-01-31T09:30:00."),
        ("2024-01-31T10:00:00", "2024-02-01T10:00Z", "whose times have no time zone. Write it like 2024-01-31T09:30:00."),
        ("2024-01-31T10:00:00+00:00", "2024-02-01", "whose times have a time zone. Write it like 2024-01-31T09:30:00+00:00."),
        ("0x00000000000007d1", "2001", "which is a rowversion. Write it like 0x00000000000007d1."),
        ("0x00000000000007d1", "0xfffffffffffffffff", "which is a rowversion."),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_with_an_example(there: str, given: str, said: str):
    with pytest.raises(ConfigurationError) as caught:
        move_to(at(there), given)
    assert said in str(caught.value)


def test_a_table_without_cursor_has_no_value_to_set():
    with pytest.raises(ConfigurationError, match="by replace without a cursor"):
        move_to(at(None, mode="replace", cursor_column=None), "1")


@pytest.mark.parametrize(
    ("type_", "good"),
    [
        (pa.int64(), "5"),
        (pa.date32(), "2024-01-01"),
        (pa.timestamp("us"), "2024-01-01T00:00:00"),
        (pa.timestamp("us", tz="UTC"), "2024-01-01T00:00:00+00:00"),
        (pa.large_binary(), "0x0000000000000001"),
    ],
)
def test_where_no_load_found_a_value_the_copys_column_tells_its_kind(type_: pa.DataType, good: str):
    assert move_to(at(None), good, type_).new == good
    with pytest.raises(ConfigurationError):
        move_to(at(None), "no value", type_)


def test_where_nothing_tells_the_kind_nothing_is_set():
    with pytest.raises(ConfigurationError) as caught:
        move_to(at(None), "5", pa.string())
    assert str(caught.value) == (
        'No load of staging.Orders has found a value in "c" yet, and the copy does not tell what its values are. '
        "Load the table once; then its bookmark can be set."
    )


def test_moving_back_says_that_rows_are_read_again():
    next_load, replaced = move_to(at("100"), "50").consequences
    assert next_load == (
        'The next load reads the rows of dbo.Orders whose "c" is 50 or higher, and those of the lookback in its '
        "settings before it."
    )
    assert replaced == "Rows that are read again take the place of those that are there."
    *_, purged = move_to(at("100", mode="append"), "50").consequences
    assert purged.endswith("rows that it has purged since are lost.")


def test_moving_on_says_that_rows_are_skipped():
    *_, skipped = move_to(at("100"), "500").consequences
    assert skipped.startswith("Rows between 100 and 500 that were not loaded yet are skipped")


def test_an_unfinished_first_load_is_said_to_go_on_first():
    first, *_ = move_to(at("100", loading={"column": "Id", "next": "40"}), "50").consequences
    assert first == (
        "Its first load is unfinished and goes on at Id 40; the value counts for the load after it."
    )


def test_a_reset_says_that_the_next_load_is_a_full_one():
    said = " ".join(consequences_of_reset(at("100", loading={"column": "Id", "next": "40"})))
    assert "The next load of staging.Orders is a full one: it reads all of dbo.Orders" in said
    assert "what it has committed is loaded again" in said
    (nothing,) = consequences_of_reset(at(None, mode="replace", cursor_column=None))
    assert nothing.startswith("staging.Orders is kept up to date by replace")
