"""Partition keys as the values that rows of a column arrive with."""

from typing import Any

import pyarrow as pa
import pytest

from tranship.replication.config import PartitionSettings
from tranship.replication.replicated_tables import partitions_definition, slices_of
from tranship.slices import Values
from tranship.tables import Column, SourceType, TableName

TABLE = TableName("dbo", "Sales")
LOWER = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ("char(5)", "a", "a    "),
        ("nchar(3)", "ab", "ab "),
        ("nchar(3)", "abc", "abc"),
        ("varchar(5)", "a", "a"),
        ("uniqueidentifier", LOWER.upper(), LOWER),
    ],
)
def test_a_key_is_spelled_as_rows_arrive(declared: str, given: str, expected: str):
    settings = PartitionSettings(column="Region", values=[given, "other"])
    column = Column("Region", pa.large_string(), source_type=SourceType.parse(declared))
    definition = partitions_definition(settings, TABLE)
    part = slices_of(settings, definition, [given], TABLE, column)("region")
    assert part == Values("region", (expected,))


@pytest.mark.parametrize("keys", [["a"], ["a", "c"], ["a", "b", "c"]])
def test_every_row_of_several_keys_belongs(keys: list[Any]):
    settings = PartitionSettings(column="Region", values=["a", "b", "c"])
    column = Column("Region", pa.large_string(), source_type=SourceType.parse("char(2)"))
    part = slices_of(settings, partitions_definition(settings, TABLE), keys, TABLE, column)("r")
    mask = part.mask(pa.RecordBatch.from_pydict({"r": ["a ", "b ", "c "]}))
    assert mask is not None
    assert mask.to_pylist() == [name in keys for name in ("a", "b", "c")]
