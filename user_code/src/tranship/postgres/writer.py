"""Write a stream of record batches to a Postgres table, in one transaction."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg2 import sql

from tranship.arrow_types import check_carried
from tranship.frames import Batches
from tranship.keys import comparable
from tranship.pgsql.driver import SqlCursor, qualified
from tranship.postgres.casting import ColumnPlan
from tranship.postgres.catalogue import PostgresTable, find_table
from tranship.postgres.connection import connect
from tranship.postgres.copy_in import Copied, CopyTarget, Encoder, copy_in, encode
from tranship.postgres.ddl import check_names, create_table, ensure_schema, new_columns
from tranship.postgres.faults import translated
from tranship.postgres.keys import create_keys
from tranship.postgres.merge import (
    STAGING,
    create_staging,
    insert_staged,
    mark_absent,
    merge_staged,
)
from tranship.postgres.reconcile import Evolution, evolve_table, reconcile
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.statements import delete_slice
from tranship.postgres.swap import Replacement, obstacle
from tranship.postgres.transaction import commit, lock_exclusively, lock_table_name
from tranship.retry import ATTEMPTS, retry_transient
from tranship.slices import WholeTable
from tranship.tables import TableSchema
from tranship.tls import what_is_off
from tranship.writes import Extra, Progress, WriteMode, WriteRequest, WriteResult


def write(
    settings: PostgresSettings,
    request: WriteRequest,
    batches: Batches,
    *,
    log: logging.Logger | None = None,
    progress: Progress | None = None,
    extra: Extra | None = None,
    encoder: Encoder = Encoder.AUTO,
) -> WriteResult:
    """Write rows to a table; readers see the old rows or the new ones, never neither.

    The table and its schema are created where they are missing. A failure at any point, the end of
    this process included, leaves the old rows. A passing fault repeats the write when the batches
    can be opened again.

    Args:
        settings: The server.
        request: The table, the mode, and the slice or key.
        batches: The rows.
        log: Where progress and repetitions are told; by default this module's logger.
        progress: Called with the rows and Arrow bytes sent so far, after each chunk.
        extra: Statements to commit together with the rows, such as a bookmark.
        encoder: How rows go over the wire; by default the fastest that carries every column.

    Returns:
        What was written, and how: see `WriteResult.details`.

    Raises:
        KeyNotComparableError: Rows are merged by a text of which it is not known what its source takes for the same.
        SchemaDriftError: The columns differ from those of the table.
        ValueDoesNotFitError: A value is outside what its column can hold.
        RowsOutsideSliceError: A row does not belong to the slice.
        TransientError: The last passing fault, after the last attempt.
        WriteFailedError: The server refused the write.

    Example:
        >>> write(settings, WriteRequest(TableName("public", "stg_a")), Batches.of(frame))  # doctest: +SKIP
    """
    logger = log or logging.getLogger(__name__)
    schema = TableSchema.from_arrow(batches.schema)
    check_names(request, schema)
    check_carried(batches.schema)
    batches = comparable(request, batches, schema)

    def once() -> WriteResult:
        return _Write(settings, request, batches, schema, logger, progress, extra, encoder).run()

    attempts = ATTEMPTS if batches.replayable else 1
    return retry_transient(once, what=f"the {request}", log=logger, attempts=attempts)


@dataclass(slots=True)
class _Write:
    """One attempt: one connection, one transaction."""

    settings: PostgresSettings
    request: WriteRequest
    batches: Batches
    schema: TableSchema
    log: logging.Logger
    progress: Progress | None
    extra: Extra | None
    encoder: Encoder
    details: dict[str, str | int | float] = field(default_factory=dict)

    def run(self) -> WriteResult:
        started = time.perf_counter()
        if off := what_is_off(self.settings.tls_mode, self.settings.host):
            self.details["tls"] = f"the connection {off}"
        with (
            connect(self.settings) as connection,
            translated(self.settings, str(self.request), self.request.table),
        ):
            ensure_schema(connection, self.request.table.schema)
            with connection.cursor() as cursor:
                lock_table_name(cursor, self.request.table, self.settings.lock_wait_seconds)
                copied = self._write(cursor)
                if self.extra is not None:
                    self.extra(cursor)
            commit(connection, self.settings, self.request, self.details)
        return WriteResult(
            table=self.request.table,
            mode=self.request.mode,
            slice=self.request.slice,
            rows=copied.rows,
            bytes=copied.bytes,
            seconds=time.perf_counter() - started,
            schema=self.schema,
            details=self.details,
        )

    def _write(self, cursor: SqlCursor) -> Copied:
        """Choose the way for this mode and this table, and go it up to the commit."""
        request = self.request
        existing = find_table(cursor, request.table)
        if existing is None:
            return self._create(cursor)
        plans, evolution = reconcile(request, self.schema, existing)
        if evolution:
            self.details["evolved"] = str(evolution)
        if request.mode == WriteMode.MERGE:
            return self._merge(cursor, existing, plans, evolution)
        if request.mode == WriteMode.REPLACE and isinstance(request.slice, WholeTable):
            reason = obstacle(cursor, existing)
            if reason is None:
                return self._swap(cursor, existing, plans, evolution)
            self.details["in_place_because"] = reason
        if evolution:
            return self._staged(cursor, existing, plans, evolution)
        self._delete(cursor, existing)
        return self._copy(cursor, qualified(request.table), plans)

    def _create(self, cursor: SqlCursor) -> Copied:
        """A table that was not there: rows first, then its key, which is cheaper."""
        plans = new_columns(self.request, self.schema)
        create_table(cursor, self.request.table, self.schema, plans)
        self.details["method"] = "created"
        if self.request.mode == WriteMode.MERGE:
            create_keys(cursor, self.request, self.schema)
            return self._merge(cursor, None, plans, Evolution())
        copied = self._copy(cursor, qualified(self.request.table), plans, freeze=True)
        with self._phase("index"):
            create_keys(cursor, self.request, self.schema)
        return copied

    def _swap(
        self,
        cursor: SqlCursor,
        existing: PostgresTable,
        plans: list[ColumnPlan],
        evolution: Evolution,
    ) -> Copied:
        """Load beside the table and take its place."""
        replacement = Replacement(cursor, existing, evolution)
        replacement.create()
        copied = self._copy(cursor, qualified(replacement.table), plans, freeze=True)
        with self._phase("index"):
            replacement.finish()
        with self._phase("swap"):
            reason = replacement.swap(self.settings.lock_wait_seconds)
        if reason is None:
            self.details["method"] = "swapped"
            return copied
        self.details["in_place_because"] = reason
        with self._phase("move"):
            self._move(cursor, existing, plans, evolution, qualified(replacement.table))
            replacement.drop()
        return copied

    def _staged(
        self,
        cursor: SqlCursor,
        existing: PostgresTable,
        plans: list[ColumnPlan],
        evolution: Evolution,
    ) -> Copied:
        """Load aside and alter the table only then, so that its lock is short."""
        create_staging(cursor, plans)
        copied = self._copy(cursor, STAGING, plans)
        with self._phase("move"):
            self._move(cursor, existing, plans, evolution, STAGING)
        return copied

    def _move(
        self,
        cursor: SqlCursor,
        existing: PostgresTable,
        plans: list[ColumnPlan],
        evolution: Evolution,
        waiting: sql.Composable,
    ) -> None:
        """Replace the rows by those that wait elsewhere, in a table that is altered for them."""
        # Types are narrowed in an empty table only; a slice may be found by a column that is new.
        is_whole = isinstance(self.request.slice, WholeTable)
        if is_whole:
            self._delete(cursor, existing)
        existing = self._evolve(cursor, existing, evolution)
        if not is_whole:
            self._delete(cursor, existing)
        insert_staged(cursor, self.request.table, [plan.name for plan in plans], waiting)
        if evolution.key.added is not None:
            name = evolution.key.name
            for statement in evolution.key.added.statements(
                self.request.table, sql.Identifier(name) if name else None
            ):
                cursor.execute(statement)

    def _merge(
        self,
        cursor: SqlCursor,
        existing: PostgresTable | None,
        plans: list[ColumnPlan],
        evolution: Evolution,
    ) -> Copied:
        create_staging(cursor, plans)
        copied = self._copy(cursor, STAGING, plans)
        with self._phase("merge"):
            if existing is not None:
                self._evolve(cursor, existing, evolution)
            updated, inserted = merge_staged(cursor, self.request, plans, self.schema)
            mark = self.request.marks_absent
            if mark is not None:
                self.details["rows_marked"] = mark_absent(cursor, self.request, mark)
        self.details |= {"rows_updated": updated, "rows_inserted": inserted}
        self.details.setdefault("method", "merged")
        return copied

    def _delete(self, cursor: SqlCursor, existing: PostgresTable) -> None:
        if self.request.mode == WriteMode.APPEND:
            self.details["method"] = "appended"
            return
        with self._phase("delete"):
            self.details["rows_deleted"] = delete_slice(
                cursor, self.request.table, self.request.slice, existing.schema()
            )
        self.details["method"] = "deleted and inserted"

    def _evolve(
        self, cursor: SqlCursor, existing: PostgresTable, evolution: Evolution
    ) -> PostgresTable:
        """Alter the table where the rows need it, and give it as it then is."""
        if evolution:
            lock = sql.SQL("lock table {} in access exclusive mode").format(
                qualified(self.request.table)
            )
            lock_exclusively(cursor, [lock], self.request.table, self.settings.lock_wait_seconds)
            for statement in evolution.key.drop_statements(self.request.table):
                cursor.execute(statement)
            evolve_table(cursor, self.request.table, evolution)
        return find_table(cursor, self.request.table) or existing

    def _copy(
        self,
        cursor: SqlCursor,
        relation: sql.Composable,
        plans: list[ColumnPlan],
        *,
        freeze: bool = False,
    ) -> Copied:
        encoding = encode(plans, self.encoder)
        target = CopyTarget(relation, self.request.table, plans, self.request.slice, freeze)
        with self._phase("copy"):
            copied = copy_in(cursor, target, self.batches, encoding, self.progress)
        self.details |= {"encoder": str(encoding.encoder), "copy_bytes": copied.copy_bytes}
        return copied

    @contextmanager
    def _phase(self, name: str) -> Generator[None]:
        started = time.perf_counter()
        yield
        self.details[f"{name}_seconds"] = round(time.perf_counter() - started, 3)
