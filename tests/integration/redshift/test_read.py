"""What reading from Redshift promises: the same values by both ways, and nothing left behind."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from tranship.errors import ColumnNotFoundError, TableNotFoundError
from tranship.reads import ReadRequest
from tranship.redshift.reader import read
from tranship.slices import KeyRange, Values
from tranship.tables import TableName

WAYS = ["cursor", "unload"]

EVERYTHING = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int32()),
        "name": ["Ä'\\b", None, "100 %"],
        "price": pa.array([Decimal("12.34"), None, Decimal("-0.01")], pa.decimal128(18, 2)),
        "flag": [True, None, False],
        "day": pa.array([date(2024, 2, 29), None, date(1, 1, 1)]),
        "at": pa.array([datetime(2024, 1, 1, 1, 2, 3, 4), None, datetime(1999, 1, 1)]),
        "instant": pa.array(
            [datetime(2024, 7, 1, 12, tzinfo=UTC), None, datetime(2024, 1, 1, tzinfo=UTC)],
            pa.timestamp("us", "UTC"),
        ),
        "hour": pa.array([time(23, 59, 59, 123456), None, time(0)], pa.time64("us")),
        "raw": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "ratio": [0.1, None, 1e300],
    }
)


@pytest.fixture
def reading(database):
    def read_back(via="auto", **request):
        settings = replace(database.settings, read_via=via)
        return read(settings, ReadRequest(database.table(), **request))

    return read_back


@pytest.mark.parametrize("via", WAYS)
def test_values_come_back_as_they_were_written(database, reading, via, staged_keys):
    database.write(EVERYTHING)
    for _ in range(2):
        found = reading(via).to_table().sort_by("id")
        assert found.to_pylist() == EVERYTHING.to_pylist()
        assert found.schema.field("instant").type == pa.timestamp("us", "UTC")
        assert found.schema.field("price").type == pa.decimal128(18, 2)
    assert staged_keys() == []


@pytest.mark.parametrize("via", WAYS)
def test_nested_values_come_back_as_json(database, reading, via):
    database.write(pa.table({"doc": [{"a": [1, 2]}, None]}))
    found = reading(via).to_table().column("doc").to_pylist()
    assert {value and value.replace(" ", "") for value in found} == {'{"a":[1,2]}', None}


@pytest.mark.parametrize("via", WAYS)
def test_columns_and_partitions_are_selected_by_redshift(database, reading, sales, via):
    database.write(sales)
    found = reading(via, columns=("Amount", "id"), slice=Values("Region", ("north",)))
    assert found.to_table().sort_by("id").to_pydict() == {"Amount": [10, 20], "id": [1, 2]}
    found = reading(via, columns=("id",), slice=KeyRange("Id", 2, 3))
    assert found.to_table().to_pydict() == {"id": [2]}


@pytest.mark.parametrize("via", WAYS)
def test_an_empty_table_is_read_as_its_columns(database, reading, sales, via):
    database.write(sales.slice(0, 0))
    found = reading(via).to_table()
    assert found.num_rows == 0
    assert found.column_names == ["id", "region", "amount"]


@pytest.mark.parametrize("value", ["it's", "back\\slash", 'say "x"', "100 %s", "%(a)s"])
@pytest.mark.parametrize("via", WAYS)
def test_partition_keys_of_any_spelling_find_their_rows(database, reading, via, value):
    database.write(pa.table({"key": [value, "other"]}))
    assert reading(via, slice=Values("key", (value,))).to_table().to_pydict() == {"key": [value]}


def test_many_rows_are_read_from_several_files(database, reading, monkeypatch):
    count = 300_000
    database.write(pa.table({"id": range(count), "text": [f"value {n:x}" for n in range(count)]}))
    monkeypatch.setattr("tranship.redshift.reader.UNLOADED_FILE_MEGABYTES", 5)
    batches = list(reading("unload"))
    assert sum(batch.num_rows for batch in batches) == count
    assert len({value for batch in batches for value in batch.column("id").to_pylist()}) == count


def test_the_way_follows_the_estimate(database, sales, caplog):
    database.write(sales)
    database.rows("analyze {schema}.sales")
    for threshold, way in ((1_000, "cursor"), (0, "unload")):
        settings = replace(database.settings, unload_row_threshold=threshold)
        with caplog.at_level("INFO", logger="tranship.redshift.reader"):
            assert read(settings, ReadRequest(database.table())).to_table().num_rows == 3
        assert f"by {way}" in caplog.text
        caplog.clear()


def test_giving_up_in_the_middle_leaves_no_files(database, reading, sales, staged_keys):
    database.write(sales)
    stream = reading("unload").open()
    next(stream)
    stream.close()
    assert staged_keys() == []


def test_a_table_that_is_not_there_is_named(settings):
    with pytest.raises(TableNotFoundError, match=r"There is no table public\.nope"):
        read(settings, ReadRequest(TableName("public", "nope")))


def test_a_column_that_is_not_there_is_named_beside_those_that_are(database, reading, sales):
    database.write(sales)
    with pytest.raises(ColumnNotFoundError, match=r'No such column: "total".*"amount"'):
        reading(columns=("total",))
