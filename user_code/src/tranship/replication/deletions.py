"""Rows that are gone from the source: found by comparing all keys, then marked or removed.

A load by cursor never sees a deletion. So the source's keys are written to a table beside the target, and in
the same transaction the target is compared with it on the server; no key is held in memory here.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.pgsql.keys import Rules, other_spelling, same_key
from tranship.replication.bookmarks import BookmarkMovedError
from tranship.replication.columns import DELETED_AT
from tranship.replication.plan import OnDelete
from tranship.replication.targets import KEYS_SUFFIX, Target
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

_LONGEST_NAME_BYTES = 63
"""Postgres's limit, which is the lower one."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What comparing the keys found.

    Args:
        keys: Keys that the source has.
        rows: Rows that were marked or removed now.
        returned: Rows that were marked and are in the source again.
    """

    keys: int
    rows: int
    returned: int = 0


def apply_deletions(
    target: Target,
    table: TableName,
    key: Sequence[str],
    keys: Batches,
    policy: OnDelete,
    log: logging.Logger,
    *,
    loaded: str,
) -> Gone:
    """Mark or remove the rows of a table whose key is not among the source's.

    Args:
        target: Where the table is.
        table: The table.
        key: The key columns, as they are called in the target's data.
        keys: The source's keys, in columns of these names, read after the rows were loaded.
        policy: Mark or remove.
        log: Where it is told.
        loaded: The write that the bookmark was of before the keys were read.

    Raises:
        BookmarkMovedError: Another run loaded the table since the keys were read.
        TranshipError: The keys cannot be read or written; the table is as it was.
    """
    beside = keys_beside(table)
    rules = TableSchema.from_arrow(keys.schema).equalities(key)
    _refuse_a_copy(target, table, beside)
    found = {"rows": 0, "returned": 0}

    def compare(cursor: Any) -> None:
        target.lock(cursor, table)
        # Rows that another run brought since would look as if they were gone.
        there = target.bookmarks(table).read(cursor, target.table_name(table))
        if there is None or there.write_id != loaded:
            raise BookmarkMovedError(
                f"{table} was loaded while its keys were read; no row was removed.",
                "Run the load again; a pool with one slot keeps loads of one table apart.",
            )
        _respell(target, cursor, table, beside, key, rules)
        gone = _not_among(target, table, beside, key, rules)
        names = {
            "table": target.identifier(table),
            "deleted_at": _identifier(target, DELETED_AT.name),
        }
        if policy is OnDelete.REMOVE:
            cursor.execute(sql.SQL("delete from {table} where {gone}").format(gone=gone, **names))
            found["rows"] = cursor.rowcount
        else:
            cursor.execute(
                sql.SQL(
                    "update {table} set {deleted_at} = current_timestamp "
                    "where {deleted_at} is null and {gone}"
                ).format(gone=gone, **names)
            )
            found["rows"] = cursor.rowcount
            cursor.execute(
                sql.SQL(
                    "update {table} set {deleted_at} = null where {deleted_at} is not null and not {gone}"
                ).format(gone=gone, **names)
            )
            found["returned"] = cursor.rowcount
        # The keys have served; an empty table costs nothing and needs no right to drop it.
        cursor.execute(sql.SQL("delete from {}").format(target.identifier(beside)))

    result = target.write(WriteRequest(beside), keys, log, compare)
    return Gone(result.rows, found["rows"], found["returned"])


def _refuse_a_copy(target: Target, table: TableName, beside: TableName) -> None:
    """Never write keys over rows: a table of the source may be called as the table of keys is."""
    if target.schema_of(target.bookmarks(beside).name) is None:
        return
    if (copied := target.bookmark(beside)) is not None:
        raise ConfigurationError(
            f"The keys of {table} are written to {beside}, which is a copy of {copied.source}: it was not touched.",
            f"Give that copy another name (target:), then drop {beside} and forget its bookmark.",
        )


def keys_beside(table: TableName) -> TableName:
    """The table beside a table that its source's keys are written to."""
    name = f"{table.name}{KEYS_SUFFIX}"
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        digest = hashlib.sha256(table.name.encode()).hexdigest()[:12]
        room = _LONGEST_NAME_BYTES - len(KEYS_SUFFIX) - len(digest) - 1
        kept = table.name.encode()[:room].decode(errors="ignore")
        name = f"{kept}_{digest}{KEYS_SUFFIX}"
    return TableName(table.schema, name)


def _respell(
    target: Target,
    cursor: Any,
    table: TableName,
    beside: TableName,
    key: Sequence[str],
    rules: Rules,
) -> None:
    """Give rows the spelling that their key has in the source now, where that takes both for the same."""
    if not rules:
        return
    names = [target.name(name) for name in key]
    folded = {target.name(name): rule for name, rule in rules.items()}
    t, k = target.identifier(table), sql.Identifier("k")
    respelled = sql.SQL("{} and ({})").format(
        same_key(t, k, names, folded, target.lower), other_spelling(t, k, names, folded)
    )
    source = sql.SQL("{} as k").format(target.identifier(beside))
    # A copy that compared bytes once may have both spellings; the source's own is the one that is kept up to date.
    cursor.execute(
        sql.SQL(
            "delete from {} using {} where {} and exists (select 1 from {} as own where {} and not ({}))"
        ).format(
            t,
            source,
            respelled,
            t,
            same_key(sql.Identifier("own"), k, names, folded, target.lower),
            other_spelling(sql.Identifier("own"), k, names, folded),
        )
    )
    spelling = sql.SQL(", ").join(
        sql.SQL("{0} = k.{0}").format(sql.Identifier(name)) for name in names if name in folded
    )
    cursor.execute(
        sql.SQL("update {} set {} from {} where {}").format(t, spelling, source, respelled)
    )


def _not_among(
    target: Target, table: TableName, beside: TableName, key: Sequence[str], rules: Rules
) -> sql.Composable:
    same = same_key(
        target.identifier(table),
        sql.Identifier("k"),
        [target.name(name) for name in key],
        {target.name(name): rule for name, rule in rules.items()},
        target.lower,
    )
    # A null equals nothing, so whether its row is gone cannot be told.
    whole = sql.SQL(" and ").join(
        sql.SQL("{}.{} is not null").format(target.identifier(table), _identifier(target, name))
        for name in key
    )
    return sql.SQL("({} and not exists (select 1 from {} as k where {}))").format(
        whole, target.identifier(beside), same
    )


def _identifier(target: Target, name: str) -> sql.Identifier:
    return sql.Identifier(target.name(name))
