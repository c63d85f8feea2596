"""What is said of Change Tracking for a table: that it is on, what switches it on, or what forbids it."""

from dataclasses import replace

import pyarrow as pa
import pytest

from tranship.sqlserver.tracking_advice import (
    ALLOW_SNAPSHOTS,
    TRACK_DATABASE,
    DatabaseTracking,
    TableTracking,
    TrackingAdvice,
)
from tranship.systems import ChangeRecord
from tranship.tables import Column, SourceType, TableName, TableSchema
from tranship.visibility import Visibility

TABLE = TableName("sales", "Order]s")
SCHEMA = TableSchema(
    (
        Column("Id", pa.int32(), nullable=False, source_type=SourceType("int")),
        Column("V", pa.binary(8), nullable=False, source_type=SourceType("rowversion")),
    ),
    ("Id",),
)
ON = DatabaseTracking(is_on=True)
TRACKED = TableTracking(is_on=True, is_granted=True)
ENABLE = "alter table [sales].[Order]]s] enable change_tracking"
GRANT = "grant view change tracking on [sales].[Order]]s] to [reader]"


def said(
    database: DatabaseTracking, table: TableTracking, schema: TableSchema = SCHEMA
) -> ChangeRecord | None:
    advice = TrackingAdvice(database, {("sales", "order]s"): table})
    return advice.record(TABLE, schema, "reader")


def refusal(database: DatabaseTracking, table: TableTracking, schema: TableSchema = SCHEMA) -> str:
    record = said(database, table, schema)
    assert record is not None
    assert not record.is_readable
    assert record.statements == ()
    return record.refusal or ""


def test_what_is_on_and_may_be_seen_can_be_followed() -> None:
    assert said(ON, TRACKED) == ChangeRecord(is_readable=True)


@pytest.mark.parametrize(
    ("database", "table", "statements"),
    [
        (
            DatabaseTracking(allows_snapshots=False),
            TableTracking(),
            (TRACK_DATABASE, ALLOW_SNAPSHOTS, ENABLE, GRANT),
        ),
        (DatabaseTracking(), TableTracking(is_granted=True), (TRACK_DATABASE, ENABLE)),
        (ON, TableTracking(), (ENABLE, GRANT)),
        (ON, TableTracking(is_on=True), (GRANT,)),
    ],
)
def test_what_is_missing_is_told_as_statements(
    database: DatabaseTracking, table: TableTracking, statements: tuple[str, ...]
) -> None:
    assert said(database, table) == ChangeRecord(statements=statements)


def test_each_thing_that_forbids_it_has_a_sentence_of_its_own() -> None:
    sentences = [
        refusal(replace(ON, edition=6), TRACKED),
        refusal(replace(ON, is_read_only=True, has_replicas=True), TRACKED),
        refusal(DatabaseTracking(is_read_only=True), TableTracking()),
        refusal(ON, TableTracking(), replace(SCHEMA, primary_key=())),
        refusal(ON, TableTracking(), replace(SCHEMA, primary_key=("V",))),
        refusal(ON, TableTracking(), replace(SCHEMA, visibility=Visibility(encrypted=("Id",)))),
        refusal(ON, TableTracking(is_partitioned=True)),
    ]
    words = (
        "dedicated SQL pool",
        "secondary replica",
        "read-only",
        "needs a primary key",
        "rowversion, such as V",
        "encrypted column, such as Id",
        "switched in or out",
    )
    for sentence, word in zip(sentences, words, strict=True):
        assert word in sentence
        assert sentence.endswith(".")
    assert len(set(sentences)) == len(sentences)


def test_a_partitioned_table_that_is_tracked_already_is_followed() -> None:
    assert said(ON, replace(TRACKED, is_partitioned=True)) == ChangeRecord(is_readable=True)


def test_a_server_that_does_not_know_of_it_says_nothing() -> None:
    assert TrackingAdvice().record(TABLE, SCHEMA, "reader") is None
