"""JSON in texts becomes a SUPER whose parts can be asked for; what is no JSON is told with its row."""

import json
from typing import Any

import pyarrow as pa
import pytest

from tranship.errors import ValueDoesNotFitError
from tranship.reads import ReadRequest
from tranship.redshift.reader import read
from tranship.slices import Values
from tranship.writes import WriteMode

DOCUMENTS = ['{"a": [1, {"b": "ü\\n"}]}', "[1, 2.50, null]", '"text"', "7", "true", None]
AS_SUPER = {"column_types": {"doc": "super"}}


def rows(documents: list[str | None], kind: pa.DataType | None = None) -> pa.Table:
    texts = pa.array(documents, pa.string())
    return pa.table(
        {
            "id": list(range(len(documents))),
            "part": ["p"] * len(documents),
            "doc": texts.cast(kind) if kind else texts,
        }
    )


def parsed(database) -> list[Any]:
    found = read(database.settings, ReadRequest(database.table())).to_table()
    documents = found.sort_by("id")["doc"].to_pylist()
    return [None if document is None else json.loads(document) for document in documents]


EXPECTED = [None if document is None else json.loads(document) for document in DOCUMENTS]


@pytest.mark.parametrize(
    "kind", [None, pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_json_texts_are_parsed_and_loading_them_twice_gives_the_same(database, kind):
    for _ in range(2):
        database.write(rows(DOCUMENTS, kind), **AS_SUPER)
        assert parsed(database) == EXPECTED
    # The stand-in's SUPER is Postgres's jsonb: a string would have no parts.
    assert database.types()["doc"] == "super"


@pytest.mark.parametrize(
    "request_",
    [
        {"slice": Values("part", ("p",))},
        {"mode": WriteMode.MERGE, "key": ("id",)},
        {},
    ],
    ids=["slice", "merge", "replace"],
)
def test_they_are_parsed_in_every_mode_and_where_the_column_is_a_super_already(database, request_):
    database.write(rows(DOCUMENTS), **AS_SUPER)
    for _ in range(2):
        database.write(rows(DOCUMENTS), **request_)
        assert parsed(database) == EXPECTED


def test_texts_stay_strings_where_that_is_asked_for(database):
    for _ in range(2):
        database.write(rows(['{"a": 1}', "plain"]), column_types={"doc": "super text"})
        assert parsed(database) == ['{"a": 1}', "plain"]


@pytest.mark.parametrize("text", ["", "{", "plain", "NaN", "[Infinity]", "{'a': 1}", "[" * 100_000])
def test_what_is_no_json_is_told_with_its_row_before_anything_is_written(
    database, staged_keys, text
):
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(rows(["{}", text]), **AS_SUPER)
    assert 'Row 2, column "doc"' in str(caught.value)
    if len(text) <= 65_535:
        assert "is no JSON" in str(caught.value)
        assert '{"column_types": {"doc": "super text"}}' in str(caught.value)
    assert staged_keys() == []


def test_a_document_over_the_clusters_limit_is_told_with_the_limit(database):
    document = json.dumps(["x" * 40_000, "y" * 40_000])
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(rows([document]), **AS_SUPER)
    assert f"{len(document)} bytes" in str(caught.value)
    assert "65,535 bytes at most; a SUPER value itself may have 16 MB" in str(caught.value)
    lists = pa.table({"id": [0], "doc": [json.loads(document)]})
    database.write(lists)
    assert parsed(database) == [json.loads(document)]
