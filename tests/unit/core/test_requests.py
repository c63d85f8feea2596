"""What to read and write is checked before a row moves, and reads as a sentence."""

import pytest

from tranship.errors import ConfigurationError
from tranship.reads import ReadRequest
from tranship.slices import KeyRange, WholeTable
from tranship.tables import TableName, TableSchema
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest, WriteResult

TABLE = TableName("public", "stg_a")


def test_a_write_replaces_the_whole_table_and_refuses_drift_unless_told():
    request = WriteRequest(TABLE)

    assert request.mode is WriteMode.REPLACE
    assert request.slice == WholeTable()
    assert request.on_schema_change is OnSchemaChange.ERROR


def test_a_merge_without_a_key_says_how_to_name_it():
    with pytest.raises(ConfigurationError) as refused:
        WriteRequest(TABLE, mode=WriteMode.MERGE)

    assert str(refused.value) == (
        "Merging into public.stg_a needs to know what identifies a row. "
        'Name the key columns: metadata={"mode": "merge", "key": ["id"]}.'
    )


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (WriteRequest(TABLE), "replace of public.stg_a"),
        (
            WriteRequest(TABLE, slice=KeyRange("id", 1, 9)),
            'replace of public.stg_a where 1 <= "id" < 9',
        ),
        (WriteRequest(TABLE, mode=WriteMode.APPEND), "append of public.stg_a"),
        (ReadRequest(TABLE), "public.stg_a"),
        (
            ReadRequest(TABLE, KeyRange("id", 1), ("id", "n")),
            'public.stg_a (id, n) where 1 <= "id"',
        ),
    ],
)
def test_a_request_reads_as_a_sentence(request_: WriteRequest | ReadRequest, shown: str):
    assert str(request_) == shown


def test_a_selection_of_no_columns_is_refused():
    with pytest.raises(ConfigurationError) as refused:
        ReadRequest(TABLE, columns=())

    assert str(refused.value) == (
        "No columns of public.stg_a were selected. Name at least one, or leave columns out."
    )


@pytest.mark.parametrize(("seconds", "rate"), [(2.0, 5.0), (0.0, 0.0)])
def test_a_result_knows_its_rate_even_where_it_took_no_time(seconds: float, rate: float):
    result = WriteResult(
        TABLE, WriteMode.APPEND, WholeTable(), 10, 80, seconds, TableSchema(columns=())
    )

    assert result.rows_per_second == rate


def test_modes_may_be_given_as_texts_and_a_wrong_one_is_named():
    table = TableName("public", "t")
    assert WriteRequest(table, mode="append").mode is WriteMode.APPEND  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError) as raised:
        WriteRequest(table, mode="upsert")  # pyright: ignore[reportArgumentType]
    assert str(raised.value) == (
        "mode of the write to public.t is 'upsert'. It is one of replace, append, merge."
    )
