"""Rows that are marked as gone, which only the copy has: whether they can stay while all of the source is loaded anew.

A full load brings the rows that the source has. What it had, and was marked since, no source can give a second time.
"""

import hashlib
import hmac
import json
import logging
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tranship.bookmarks import Bookmark
from tranship.equality import Rules
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.keys import names_of_rules
from tranship.replication.plan import OnDelete, TablePlan
from tranship.slices import WholeTable
from tranship.source import Source
from tranship.tables import TableSchema
from tranship.target import Target

_MEANING = "key_meaning"


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """The rows of one copy that are marked as gone.

    Args:
        plan: How the table is moved.
        source: Where its rows come from.
        target: Where the copy is.
        changes: What happens to the columns on the way.
        key: The columns that identify a row, as the target's data calls them.
        rules: How the source compares the key's texts, by the source's names.
    """

    plan: TablePlan
    source: Source
    target: Target
    changes: ColumnChanges
    key: tuple[str, ...]
    rules: Rules

    @property
    def facts(self) -> dict[str, str]:
        """What a bookmark keeps for the next full load; nothing where no row is ever marked."""
        return {_MEANING: self._meaning} if self.plan.delete is OnDelete.MARK else {}

    def stay(self, bookmark: Bookmark | None, signature: str, log: logging.Logger) -> bool:
        """Whether a full load merges its rows by key and marks the others, instead of replacing all.

        Args:
            bookmark: Of the load before.
            signature: What the rows of this one depend on.
            log: Where it is told that marked rows are lost, because their keys say nothing about those that come.
        """
        if self.plan.delete is not OnDelete.MARK or bookmark is None:
            return False
        schema = self.target.schema_of(self.plan.target)
        needed = {self.target.name(name) for name in (*self.key, DELETED_AT.name)}
        if schema is None or not needed <= set(schema.names):
            return False
        is_same = bookmark.signature == signature or bookmark.facts.get(_MEANING) == self._meaning
        may_be_null = any(self.source.schema.column(name).nullable for name in self.source.key)
        if is_same and not may_be_null:
            return True
        why = "its key may be null" if may_be_null else "its key is another one than it was"
        self.tell_lost(schema, why, log)
        return False

    def tell_lost(self, schema: TableSchema, why: str, log: logging.Logger) -> None:
        """Say how many are lost to a full load; nothing where none are marked.

        Args:
            schema: The copy's columns.
            why: Why they cannot stay, in words.
            log: Where it is told.
        """
        table = self.plan.target
        count = sa.func.count(sa.literal_column("*"))
        is_marked = self.target.column(DELETED_AT.name).is_not(None)
        with self.target.transaction(f"counting marked rows of {table}", table) as transaction:
            (marked,) = self.target.select(
                transaction, table, [count], WholeTable(), schema, where=is_marked
            )
        if marked:
            log.warning(
                "%s rows of %s that are marked as gone are lost with this full load: %s.",
                f"{marked:,}",
                table,
                why,
            )

    @property
    def _meaning(self) -> str:
        """What the values of the key are, so far that equal ones are one row before and after the settings were changed."""
        settings, key = self.plan.columns, self.source.key
        depends: dict[str, Any] = {
            "source": str(self.plan.source),
            "key": [*key, *self.key],
            "cast": [settings.cast.get(name) for name in key],
            "mask": [settings.mask.get(name) for name in key],
            "rules": names_of_rules(self.rules),
        }
        if "hash" in depends["mask"]:
            depends["mask_key"] = hmac.new(
                self.changes.mask_key, b"key", hashlib.sha256
            ).hexdigest()
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
