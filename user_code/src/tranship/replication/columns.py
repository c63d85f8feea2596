"""What happens to a table's columns between source and target: chosen, renamed, masked, marked.

Hashing keeps joins and counts: equal values give equal digests. Plain digests of e-mail addresses or
telephone numbers are found by trying them all, so the digest is an HMAC under a key that only the
deployment knows (https://csrc.nist.gov/pubs/fips/198-1/final).
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa

from tranship.equality import TextEquality
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import KeyComparison, OnDelete, TablePlan
from tranship.tables import Column, TableName, TableSchema, column_not_found, is_binary, is_text

REDACTED = "***"
KEY_VARIABLE = "TRANSHIP_MASK_KEY"
DIGEST = pa.large_string()
DELETED_AT_TYPE = pa.timestamp("us", tz="UTC")
DELETED_AT = Column("_deleted_at", DELETED_AT_TYPE)
"""When a row was found to be gone from the source; null as long as it is there."""


def hashed(
    array: "pa.Array[Any]", key: bytes, equality: TextEquality | None = None
) -> "pa.Array[Any]":
    """HMAC-SHA-256 of each value as hexadecimal text; null stays null.

    Texts are hashed as UTF-8, bytes as they are, other values as Arrow writes them. Texts that the source takes
    for the same get the same digest, that of their fold, so far as it is known which those are.

    Args:
        array: The values.
        key: The deployment's secret.
        equality: Which texts are the same; `None` where bytes tell.

    Example:
        >>> hashed(pa.array(["a", None, "a"]), b"key")[0].as_py()[:8]
        '780c3db4'
    """
    plain = array if is_text(array.type) or is_binary(array.type) else array.cast(pa.string())
    # A column of a million rows has far fewer different values, and hashing is all the cost there is.
    encoded = plain.dictionary_encode()
    digests = [
        None if value is None else _digest(_same(value, equality), key)
        for value in encoded.dictionary.to_pylist()
    ]
    return pa.array(digests, DIGEST).take(encoded.indices)


def _same(value: str | bytes, equality: TextEquality | None) -> str | bytes:
    if equality is None or isinstance(value, bytes) or not equality.knows(value):
        return value
    return equality.fold(value)


def _digest(value: str | bytes, key: bytes) -> str:
    message = value.encode() if isinstance(value, str) else value
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def redacted(array: "pa.Array[Any]") -> "pa.Array[Any]":
    """Texts as `***` where there was one; nothing at all of other values.

    Example:
        >>> redacted(pa.array(["secret", None])).to_pylist(), redacted(pa.array([1])).to_pylist()
        (['***', None], [None])
    """
    if not is_text(array.type):
        return pa.nulls(len(array), array.type)
    has_value = array.is_valid().cast(pa.int8())
    return pa.array([None, REDACTED], pa.large_string()).take(has_value)


def hashing_key(value: str | None) -> bytes:
    """The deployment's secret for hashing.

    Args:
        value: The variable's value.

    Raises:
        ConfigurationError: There is none.
    """
    if not value:
        raise ConfigurationError(
            f"Columns are masked by hash, and {KEY_VARIABLE} is not set.",
            f"Set {KEY_VARIABLE} to a long random text, and keep it: another one gives other digests.",
        )
    return value.encode()


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """The columns of one table, from how they are read to how they are written.

    Args:
        table: The source's table, for messages.
        read: The columns that are read, in order.
        settings: What the user asked for.
        marks_deleted: Whether the target has the column `_deleted_at`.
        mask_key: The secret that values are hashed under; needed where a column is hashed.
        compares_bytes: Whether texts are told apart by their bytes, whatever the source takes for the same.
    """

    table: TableName
    read: tuple[str, ...]
    settings: ColumnSettings
    marks_deleted: bool = False
    mask_key: bytes = field(default=b"", repr=False)
    compares_bytes: bool = False

    def target_name(self, column: str) -> str | None:
        """What a source's column is called in the target; `None` where it does not get there."""
        return self.settings.rename.get(column, column) if column in self.read else None

    def arrives_as_it_is(self, column: str) -> bool:
        """Whether the target has a column's own values, so that its ranges mean the same there."""
        changed = column in self.settings.mask or column in self.settings.cast
        return column in self.read and not changed

    def own_name(self, column: str, what: str) -> str:
        """What a column that must arrive as it is, is called in the target.

        Raises:
            ConfigurationError: It is left out, masked, or cast.
        """
        if not self.arrives_as_it_is(column):
            how = "masked" if column in self.settings.mask else "cast"
            how = how if column in self.read else "left out"
            raise ConfigurationError(
                f'"{column}" of {self.table} is {how}, but it is {what}.',
                "Move the column as it is, or choose another one.",
            )
        return self.settings.rename.get(column, column)

    def target_names(self, columns: tuple[str, ...], what: str) -> tuple[str, ...]:
        """What columns that must arrive unmasked are called in the target.

        Raises:
            ConfigurationError: One of them is left out, or redacted.
        """
        names: list[str] = []
        for column in columns:
            name = self.target_name(column)
            if name is None or self.settings.mask.get(column) == "redact":
                how = "left out" if name is None else "redacted"
                raise ConfigurationError(
                    f'"{column}" of {self.table} is {how}, but it is {what}.',
                    "Keep the column, or choose another one.",
                )
            names.append(name)
        return tuple(names)

    def written(self, schema: TableSchema) -> TableSchema:
        """The target's columns, of those that were read."""
        columns = tuple(self._written(column) for column in schema.columns)
        if self.marks_deleted:
            columns = (*columns, DELETED_AT)
        key = tuple(self.settings.rename.get(name, name) for name in schema.primary_key)
        if any(self.settings.mask.get(name) == "redact" for name in schema.primary_key):
            key = ()  # nothing tells its rows apart any more
        return TableSchema(columns, key, schema.comment)

    def _written(self, column: Column) -> Column:
        renamed = replace(
            column,
            name=self.settings.rename.get(column.name, column.name),
            equality=None if self.compares_bytes else column.equality,
        )
        match self.settings.mask.get(column.name):
            case "hash":
                return replace(renamed, type=DIGEST, source_type=None, equality=None)
            case "redact":
                return replace(renamed, source_type=None, nullable=True, equality=None)
            case _:
                return renamed

    def applied(self, batches: Batches) -> Batches:
        """The same rows as the target gets them."""
        read = TableSchema.from_arrow(batches.schema)
        schema = self.written(read).to_arrow()
        if schema.equals(batches.schema, check_metadata=True):
            return batches
        return replace(batches, schema=schema, open=partial(self._changed, batches, read, schema))

    def _changed(
        self, batches: Batches, read: TableSchema, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        for batch in batches.open():
            arrays: list[pa.Array[Any]] = [
                self._masked(column, array)
                for column, array in zip(read.columns, batch.columns, strict=True)
            ]
            if self.marks_deleted:
                arrays.append(pa.array([None] * batch.num_rows, DELETED_AT_TYPE))
            yield pa.RecordBatch.from_arrays(
                [
                    array if array.type == field.type else array.cast(field.type)
                    for array, field in zip(arrays, schema, strict=True)
                ],
                schema=schema,
            )

    def _masked(self, column: Column, array: "pa.Array[Any]") -> "pa.Array[Any]":
        match self.settings.mask.get(column.name):
            case "hash":
                equality = None if self.compares_bytes else column.equality
                return hashed(array, self.mask_key, equality)
            case "redact":
                return redacted(array)
            case _:
                return array


def column_changes(plan: TablePlan, source: TableSchema, mask_key: str | None) -> ColumnChanges:
    """What the plan asks for, held against the columns that the source has.

    Args:
        plan: The table's plan.
        source: The source's columns.
        mask_key: The deployment's secret for hashing, if it has one.

    Raises:
        ColumnNotFoundError: A column that was named is not in the source.
        ConfigurationError: Two columns would have one name, or the secret is missing.
    """
    settings = plan.columns
    named = [
        *(settings.include or ()),
        *settings.exclude,
        *settings.rename,
        *settings.cast,
        *settings.mask,
    ]
    if missing := [name for name in dict.fromkeys(named) if name not in source.names]:
        error = column_not_found(missing, source.names)
        raise type(error)(
            f"{error.what} They are named in the settings of {plan.source}.", error.remedy
        )
    read = tuple(name for name in settings.include or source.names if not settings.leaves_out(name))
    changes = ColumnChanges(
        plan.source,
        read,
        settings,
        marks_deleted=plan.delete is OnDelete.MARK,
        mask_key=hashing_key(mask_key) if "hash" in settings.mask.values() else b"",
        compares_bytes=plan.key_comparison is KeyComparison.BYTES,
    )
    arriving = [settings.rename.get(name, name) for name in read]
    if changes.marks_deleted:
        arriving.append(DELETED_AT.name)
    if twice := sorted({name for name in arriving if arriving.count(name) > 1}):
        raise ConfigurationError(
            f"Several columns of {plan.source} would be called {', '.join(twice)} in the target.",
            "Rename or exclude one of them.",
        )
    return changes
