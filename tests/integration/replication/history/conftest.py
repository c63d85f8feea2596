"""Tables with a history beside their copy."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.history import HistoryCounts, HistoryNames, HistoryRequest, Versions
from tranship.replication.columns import DELETED_AT
from tranship.replication.plan import OnDelete
from tranship.tables import TableName


@dataclass(frozen=True)
class Version:
    """One row of a history."""

    row: tuple[Any, ...]
    valid_from: datetime
    valid_to: datetime | None
    is_current: bool


@dataclass(frozen=True)
class Kept:
    """A table with a history."""

    replica: Replica
    names: HistoryNames

    @classmethod
    def of(cls, origin: Origin, place: Place, *, alone: bool = False, **settings: Any) -> "Kept":
        copy = place.table(origin.name.name)
        table = TableName(copy.schema, f"{copy.name}_history")
        names = HistoryNames(table, instead_of_copy=alone)
        return cls(of(origin, place, history=names, **settings), names)

    @property
    def origin(self) -> Origin:
        return self.replica.origin

    @property
    def place(self) -> Place:
        return self.replica.place

    def changed(self, **settings: Any) -> "Kept":
        return Kept(self.replica.changed(**settings), self.names)

    def load(self, **request: Any) -> Versions:
        """Bring copy and history up to date."""
        versions = self.replica.load(**request).versions
        assert versions is not None
        return versions

    def versions(self, columns: str = "id, name, amount, changed") -> list[Version]:
        """All versions, in order of their first column and their begin."""
        rows = self.place.rows(
            f"select {columns}, valid_from, valid_to, is_current from {{}} order by 1, valid_from",
            self.names.table,
        )
        return [Version(tuple(row[:-3]), *row[-3:]) for row in rows]

    def states(self, columns: str = "id, name") -> list[tuple[Any, ...]]:
        """The values of all versions in order."""
        return [version.row for version in self.versions(columns)]

    def assert_as_the_copy(self) -> None:
        """The versions that hold are the copy's rows, and none overlap."""
        versions = self.versions()
        mark = self.replica.plan.delete is OnDelete.MARK
        live = f" where {DELETED_AT.name} is null" if mark else ""
        rows = self.place.rows(
            f"select id, name, amount, changed from {{}}{live}", self.replica.plan.target
        )
        assert sorted(version.row for version in versions if version.is_current) == sorted(rows)
        for version in versions:
            assert version.is_current == (version.valid_to is None)
            assert version.valid_to is None or version.valid_from < version.valid_to
        for one, other in pairwise(versions):
            if one.row[0] == other.row[0]:
                assert one.valid_to is not None
                assert one.valid_to <= other.valid_from
        assert self.counts() == HistoryCounts(len(rows), len(rows), 0, 0, 0)

    def counts(self) -> HistoryCounts:
        """How the target itself counts both."""
        load = self.replica.plan
        mark = DELETED_AT.name if load.delete is OnDelete.MARK else None
        kept = self.place.target.history(HistoryRequest(self.names, load.target, ("id",), {}, mark))
        with self.place.target.transaction("counting", load.target) as transaction:
            return kept.counts(transaction)
