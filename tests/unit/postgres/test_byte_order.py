"""Ranges of texts are ranges of bytes, as the mask over the incoming rows is, and not of a locale."""

from typing import Any

import pyarrow as pa
import pytest

from tranship.pgsql.driver import compiled
from tranship.postgres.statements import select_slice
from tranship.slices import AnyOf, Interval, KeyRange, Slice, Values
from tranship.tables import Column, TableName, TableSchema

SCHEMA = TableSchema((Column("code", pa.large_string()), Column("id", pa.int32())))


def statement(part: Slice) -> str:
    select: Any = select_slice(TableName("s", "t"), ["id"], part, SCHEMA)
    return " ".join(compiled(select)[0].split())


@pytest.mark.parametrize(
    "part",
    [
        KeyRange("code", "a", "m"),
        AnyOf((KeyRange("code", "a", "m"), Values("id", (1,)))),
        Interval("code", "a", "m", includes_high=False),
    ],
)
def test_a_range_of_texts_is_one_of_bytes(part: Slice) -> None:
    text = statement(part)
    assert '("code" COLLATE "C") >= ' in text
    assert '("code" COLLATE "C") < ' in text


def test_numbers_and_single_texts_are_compared_as_they_are() -> None:
    assert "COLLATE" not in statement(KeyRange("id", 1, 2))
    assert "COLLATE" not in statement(Values("code", ("a",)))
