"""Whether the source is the one that the copy was loaded from: asked before a load decides, and when it has read.

A bookmark means something for the source that it was made of, and for no other that answers to the same names.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pyarrow as pa

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor, Kind
from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.replication.plan import OnNewSource, TablePlan
from tranship.source import Source


class NewSourceError(TranshipError):
    """The source is another one than that of the last load, and the settings forbid to take it.

    What to do: Correct the address; or run with `full_reload`; or `tranship bookmarks adopt` where the rows are the same.
    """


class SourceChangedError(TranshipError):
    """The source became another one while it was read; nothing of this load was written.

    Not transient: what was decided for the one may be wrong for the other, so the load has to decide again.

    What to do: Run the load again; if a failover or a restore is under way, when that is over.
    """


@dataclass(slots=True)
class SourceGuard:
    """Holds one load to one source.

    Args:
        plan: The table.
        source: Where its rows come from.
        log: Where it is told what is known of the source.
        accepts_new: Whether the run asked for everything anew, whatever the source is.
        identity: The source of the load that is under way.
    """

    plan: TablePlan
    source: Source
    log: logging.Logger
    accepts_new: bool = False
    identity: SourceIdentity = field(default_factory=SourceIdentity)

    def begin(self, bookmark: Bookmark | None) -> str | None:
        """Ask which source it is, before anything else is asked of it.

        Returns:
            Why it is another one than that of the bookmark, in words; `None` where it is not.

        Raises:
            NewSourceError: It is, and `on_new_source` is `fail`.
        """
        self.identity = self.source.identity()
        if bookmark is None or bookmark.identity is None:
            if unseen := self.source.identity_gaps(self.identity):
                self.log.info("%s: %s", self.plan.source, unseen)
            if bookmark is not None:
                self.log.info(
                    "The bookmark of %s names no source. It is taken to be that of today: %s.",
                    self.plan.target,
                    self.identity,
                )
            return None
        another = self.source.difference(bookmark.identity, self.identity)
        if another is None:
            return None
        if self.plan.on_new_source is OnNewSource.FAIL and not self.accepts_new:
            raise NewSourceError(
                f"{self.plan.source} is not the source that {self.plan.target} was loaded from: {another}. Nothing was written.",
                "Correct the source's address. If it is meant, run the load with full_reload; if the rows are the same, keep the "
                f"bookmark with: tranship bookmarks adopt {self.plan.target}",
            )
        self.log.warning(
            "%s is another source than %s was loaded from: %s.",
            self.plan.source,
            self.plan.target,
            another,
        )
        return another

    def confirmed(self, batches: Batches) -> Batches:
        """The same batches; when the last of them was taken, the source is asked again who it is.

        A failover between two connections of one load would otherwise put rows of one server under the bookmark of another.
        """

        def opened() -> Iterator[pa.RecordBatch]:
            yield from batches.open()
            self._confirm()

        return replace(batches, open=opened)

    def _confirm(self) -> None:
        now = self.source.identity()
        if (another := self.source.difference(self.identity, now)) is not None:
            raise SourceChangedError(
                f"The source of {self.plan.target} became another one while it was read: {another}. Nothing was written.",
                "Run the load again.",
            )

    def renumbered(self, cursor: Cursor | None, bookmark: Bookmark) -> str | None:
        """Why new rows may lie behind the bookmark: the server's own numbers of the cursor stand below it."""
        if cursor is None or cursor.kind is not Kind.NUMBER or bookmark.cursor_value is None:
            return None
        last = self.source.identity_counter(cursor.column)
        loaded = cursor.value(bookmark.cursor_value)
        if last is None or not isinstance(loaded, int | Decimal) or last >= loaded:
            return None
        return (
            f"the server numbers {cursor.column} from {last} on, which is below the bookmark {bookmark.cursor_value}: it was reseeded, "
            "or is numbered elsewhere too, so that new rows lie behind the bookmark. Follow another column"
        )


def another_source(source: Source, bookmark: Bookmark) -> str | None:
    """Why what a bookmark says is not about the source of now, for the checks; `None` where it is."""
    if bookmark.identity is None:
        return None
    return source.difference(bookmark.identity, source.identity())
