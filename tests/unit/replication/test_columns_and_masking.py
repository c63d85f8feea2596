"""Columns on their way: chosen, renamed, masked, marked; and what of them may not be used for what."""

import hashlib
import hmac
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.errors import ColumnNotFoundError, ConfigurationError
from tranship.frames import Batches
from tranship.replication.columns import (
    ColumnChanges,
    column_changes,
    hashed,
    hashing_key,
    redacted,
)
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import Mode, OnDelete, TablePlan
from tranship.replication.writing import measured_columns, signature_of
from tranship.tables import Column, SourceType, TableName, TableSchema

SCHEMA = TableSchema(
    (
        Column("id", pa.int32(), nullable=False, source_type=SourceType("int")),
        Column("name", pa.large_string(), source_type=SourceType("nvarchar", length=5)),
        Column("pay", pa.decimal128(19, 4), nullable=False, source_type=SourceType("money")),
    ),
    ("id",),
)
ROWS = pa.table(
    {"id": pa.array([1, 2], pa.int32()), "name": pa.array(["a", None], pa.large_string()),
     "pay": pa.array([Decimal("1.5"), Decimal("2")], pa.decimal128(19, 4))},
    schema=SCHEMA.to_arrow(),
)  # fmt: skip


def changes(
    mask_key: str | None = "secret", delete: OnDelete = OnDelete.IGNORE, **columns: Any
) -> ColumnChanges:
    plan = TablePlan(
        TableName("dbo", "A"), TableName("staging", "A"), mode=Mode.MERGE, delete=delete, columns=ColumnSettings(**columns)
    )  # fmt: skip
    return column_changes(plan, SCHEMA, mask_key)


def applied(made: ColumnChanges) -> pa.Table:
    return made.applied(Batches.of(ROWS.select(made.read))).to_table()


def test_without_settings_nothing_changes() -> None:
    batches = Batches.of(ROWS)
    assert changes().applied(batches) is batches


def test_columns_arrive_in_the_order_in_which_they_are_included() -> None:
    made = changes(include=["pay", "id"], rename={"pay": "wage"})
    assert made.read == ("pay", "id")
    assert applied(made).schema.names == ["wage", "id"]


def test_names_may_change_places() -> None:
    found = applied(changes(rename={"id": "name", "name": "id"}))
    assert found.column("name").to_pylist() == [1, 2]
    assert found.column("id").to_pylist() == ["a", None]


def test_masked_columns_have_types_that_tell_nothing_of_the_values() -> None:
    made = changes(mask={"id": "hash", "name": "redact", "pay": "redact"})
    written = made.written(SCHEMA)
    assert [(one.name, one.type, one.nullable, one.source_type) for one in written.columns] == [
        ("id", pa.large_string(), False, None),
        ("name", pa.large_string(), True, None),
        ("pay", pa.decimal128(19, 4), True, None),
    ]
    assert applied(made).to_pylist() == [
        {"id": hmac.new(b"secret", b"1", hashlib.sha256).hexdigest(), "name": "***", "pay": None},
        {"id": hmac.new(b"secret", b"2", hashlib.sha256).hexdigest(), "name": None, "pay": None},
    ]


def test_the_key_follows_its_columns() -> None:
    assert changes(rename={"id": "number"}).written(SCHEMA).primary_key == ("number",)
    assert changes(mask={"id": "hash"}).written(SCHEMA).primary_key == ("id",)
    assert changes(mask={"id": "redact"}).written(SCHEMA).primary_key == ()


def test_rows_of_a_table_that_marks_deletions_are_not_deleted_when_they_arrive() -> None:
    made = changes(delete=OnDelete.MARK)
    assert applied(made).column("_deleted_at").to_pylist() == [None, None]
    assert made.written(SCHEMA).names == ("id", "name", "pay", "_deleted_at")


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"include": ["idd"]}, ColumnNotFoundError, r"idd.*They are named in the settings of dbo\.A\."),
        ({"exclude": ["Name"]}, ColumnNotFoundError, "Name"),
        ({"rename": {"x": "y"}}, ColumnNotFoundError, "x"),
        ({"cast": {"x": "int"}}, ColumnNotFoundError, "x"),
        ({"mask": {"x": "hash"}}, ColumnNotFoundError, "x"),
        ({"rename": {"id": "name"}}, ConfigurationError, "Several columns of dbo.A would be called name in the target. Rename or exclude"),
        ({"include": ["id", "id"]}, ConfigurationError, "would be called id"),
        ({"rename": {"id": "_deleted_at"}, "delete": OnDelete.MARK}, ConfigurationError, "would be called _deleted_at"),
        ({"mask": {"id": "hash"}, "mask_key": None}, ConfigurationError, "TRANSHIP_MASK_KEY is not set. Set TRANSHIP_MASK_KEY to a long random text"),
        ({"mask": {"id": "hash"}, "mask_key": ""}, ConfigurationError, "TRANSHIP_MASK_KEY is not set"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_columns_are_refused(
    settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        changes(**settings)


def test_redacting_needs_no_key() -> None:
    assert changes(mask={"name": "redact"}, mask_key=None).mask_key == b""


@pytest.mark.parametrize(
    ("settings", "how"),
    [({"exclude": ["id"]}, "left out"), ({"mask": {"id": "redact"}}, "redacted")],
)
def test_a_key_must_arrive(settings: dict[str, Any], how: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f'"id" of dbo.A is {how}, but it is part of the key. Keep'
    ):
        changes(**settings).target_names(("id",), "part of the key")


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"exclude": ["id"]}, "left out"),
        ({"exclude": ["id"], "mask": {"id": "hash"}}, "left out"),
        ({"mask": {"id": "hash"}}, "masked"),
        ({"cast": {"id": "bigint"}}, "cast"),
    ],
)
def test_what_slices_are_cut_by_must_arrive_as_it_is(settings: dict[str, Any], how: str) -> None:
    assert not changes(**settings).arrives_as_it_is("id")
    with pytest.raises(
        ConfigurationError, match=f'"id" of dbo.A is {how}, but it is the cursor. Move'
    ):
        changes(**settings).own_name("id", "the cursor")


def test_a_renamed_column_arrives_as_it_is() -> None:
    assert changes(rename={"id": "number"}).own_name("id", "the cursor") == "number"


def test_masked_columns_are_not_measured() -> None:
    made = changes(mask={"name": "hash", "pay": "redact"}, rename={"id": "number"})
    assert measured_columns(True, made) == ("number",)
    assert measured_columns(("pay", "id", "gone"), made) == ("number",)
    assert measured_columns(False, made) == ()


# ---- digests ----

texts = st.lists(st.none() | st.text(max_size=5), max_size=20)


@settings(max_examples=50, deadline=None)
@given(texts, st.binary(min_size=1), st.binary(min_size=1))
def test_equal_values_have_equal_digests_under_one_key_only(
    values: list[str | None], key: bytes, other: bytes
) -> None:
    array = pa.array(values, pa.large_string())
    digests = hashed(array, key).to_pylist()
    assert [digest is None for digest in digests] == [value is None for value in values]
    pairs = {(value, digest) for value, digest in zip(values, digests, strict=True)}
    assert len(pairs) == len(set(values)) == len(set(digests))
    assert hashed(array, key).to_pylist() == digests
    if key.ljust(64, b"\0") != other.ljust(64, b"\0") and len(key) <= 64 and len(other) <= 64:
        assert not {d for d in hashed(array, other).to_pylist() if d} & {d for d in digests if d}


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None], pa.int64()),
        pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        pa.array([1.5, None], pa.float32()),
        pa.array([True, None]),
        pa.array([date(2024, 1, 1), None]),
        pa.array([datetime(2024, 1, 1), None], pa.timestamp("us", "UTC")),
        pa.array([b"\xff\x00", None], pa.large_binary()),
        pa.array(["x", None], pa.string_view()),
        pa.array(["x", None]).dictionary_encode(),
        pa.array([None, None], pa.int32()),
    ],
    ids=lambda array: str(array.type),
)
def test_values_of_every_type_are_hashed_and_redacted(array: pa.Array) -> None:
    digests = hashed(array, b"key")
    assert digests.type == pa.large_string()
    assert [value and len(value) for value in digests.to_pylist()] == [
        64 if value is not None else None for value in array.to_pylist()
    ]
    assert not [value for value in redacted(array).to_pylist() if value not in {None, "***"}]


def test_the_key_is_the_text_of_the_variable() -> None:
    assert hashing_key("ü") == "ü".encode()


# ---- what the rows depend on ----

PLAN = TablePlan(TableName("dbo", "A"), TableName("staging", "A"), mode=Mode.MERGE)


def test_the_signature_changes_with_what_the_rows_depend_on_and_with_nothing_else() -> None:
    from dataclasses import replace

    def of(key: tuple[str, ...] = ("id",), mask_key: bytes = b"", **settings: Any) -> str:
        return signature_of(replace(PLAN, **settings), key, None, mask_key)

    same = [
        of(), of(parallel=3), of(chunk_rows=1), of(delete=OnDelete.REMOVE),
        of(mode=Mode.REPLACE), of(target=TableName("x", "y")),
    ]  # fmt: skip
    other = [
        of(("a",)), of(mask_key=b"one"), of(mask_key=b"two"), of(where="1 = 1"), of(cursor="id"),
        of(delete=OnDelete.MARK), of(columns=ColumnSettings(rename={"a": "b"})),
        of(columns=ColumnSettings(mask={"a": "hash"})), of(columns=ColumnSettings(mask={"a": "redact"})),
        of(source=TableName("dbo", "B")),
    ]  # fmt: skip
    assert len(set(same)) == 1
    assert len({*same, *other}) == 1 + len(other)
