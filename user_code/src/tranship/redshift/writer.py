"""Write a stream of record batches to a Redshift table: stage in S3, then one transaction."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from tranship.arrow_types import check_carried
from tranship.errors import TransientError, ValueDoesNotFitError
from tranship.frames import Batches
from tranship.keys import comparable
from tranship.own_tables import name_is_taken, own_table
from tranship.pgsql.catalogue import has_schema
from tranship.pgsql.driver import SqlConnection
from tranship.redshift.aws import s3_client
from tranship.redshift.casting import BatchCaster
from tranship.redshift.catalogue import (
    RedshiftTable,
    column_names,
    refuse_any_case,
    unseen_table,
    visible_table,
)
from tranship.redshift.connection import connected, tls_mode
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.ddl import (
    TableLayout,
    alterations,
    comments,
    create_journal,
    create_schema,
    create_table,
    is_journal,
)
from tranship.redshift.faults import is_already_there, translate, translated
from tranship.redshift.identifiers import derived_name, fold, fold_table
from tranship.redshift.plan import LoadPlan
from tranship.redshift.reconcile import reconcile
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.staging import Staged, StagingArea
from tranship.redshift.transaction import Committed, Transaction
from tranship.redshift.uploads import pieces
from tranship.retry import retry_transient
from tranship.tables import TableName, TableSchema, column_not_found, is_text
from tranship.tls import what_is_off
from tranship.writes import Extra, Progress, WriteMode, WriteRequest, WriteResult

JOURNAL_SUFFIX = "__writes"


@dataclass(frozen=True, slots=True)
class RedshiftWriteRequest(WriteRequest):
    """A write request that also says how a new table is laid out.

    Args:
        layout: Distribution, sort keys and encodings of a table that is created.
    """

    layout: TableLayout = field(default_factory=TableLayout)


def write(
    settings: RedshiftSettings,
    request: WriteRequest,
    batches: Batches,
    *,
    log: logging.Logger | None = None,
    progress: Progress | None = None,
    extra: Extra | None = None,
    credentials: CredentialsSource | None = None,
) -> WriteResult:
    """Write rows to a table; readers see the old rows or the new ones, never neither.

    The rows are staged once; the transaction that loads them is repeated for passing faults. Tables,
    their schemas and their journals are created where they are missing. A failure at any point, the
    end of this process included, leaves the old rows.

    Args:
        settings: The cluster and the bucket.
        request: The table, the mode, and the slice or key; a `RedshiftWriteRequest` has a layout too.
        batches: The rows.
        log: Where progress and repetitions are told; by default this module's logger.
        progress: Called with the rows and Arrow bytes staged so far, after each row group.
        extra: Called with the transaction's cursor before the commit, to commit a bookmark with the rows.
        credentials: A source to share between writes; by default one is made of the settings.

    Returns:
        What was written, and how: see `WriteResult.details`.

    Raises:
        KeyNotComparableError: Rows are merged by a text of which it is not known what its source takes for the same.
        SchemaDriftError: The columns differ from those of the table.
        ValueDoesNotFitError: A value is outside of what its column can hold.
        RowsOutsideSliceError: A row does not belong to the slice.
        TransientError: The last passing fault, after the last attempt.
        WriteFailedError: Redshift refused the write.

    Example:
        >>> write(settings, WriteRequest(TableName("public", "fact_sales")), Batches.of(frame))  # doctest: +SKIP
    """
    schema = TableSchema.from_arrow(batches.schema)
    check_carried(batches.schema)
    return _Write(
        settings=settings,
        request=request,
        schema=schema,
        table=fold_table(request.table),
        log=log or logging.getLogger(__name__),
        progress=progress,
        extra=extra,
        source=credentials or CredentialsSource(settings),
    ).run(comparable(request, batches, schema))


@dataclass(frozen=True, slots=True)
class _Write:
    settings: RedshiftSettings
    request: WriteRequest
    schema: TableSchema
    table: TableName
    log: logging.Logger
    progress: Progress | None
    extra: Extra | None
    source: CredentialsSource

    def run(self, batches: Batches) -> WriteResult:
        started = time.perf_counter()
        # Looked at first: a wrong password or a drifted column should not cost an upload.
        plan = self._retried(self._plan)
        self._check_names(plan)
        area = StagingArea(s3_client(self.settings), self.settings, self.table, self.log)
        area.sweep()
        caster = self._caster(plan)
        try:
            with area.in_use():
                staged = area.stage(
                    _cast(batches, caster),
                    plan.staged_schema,
                    self.progress,
                    any_thread=batches.any_thread,
                )
                self.log.info(
                    "Staged %s rows in %d files (%.1f MB) in %.2f s.",
                    f"{staged.rows:,}",
                    len(staged.files),
                    staged.bytes / 1e6,
                    staged.seconds,
                )
                final = self._retried(lambda: self._prepare(plan, caster))
                committed = self._transaction(final, staged, area).run()
        finally:
            if not self.settings.keep_files:
                area.remove()
        return self._result(started, staged, committed)

    def _retried(self, call: Callable[[], LoadPlan]) -> LoadPlan:
        return retry_transient(
            call,
            what=f"preparing the {self.request}",
            attempts=self.settings.attempts,
            log=self.log,
            is_cheap=True,
        )

    def _plan(self) -> LoadPlan:
        with connected(self.settings, self.source) as connection:
            return self._plan_against(self._describe(connection))

    def _plan_against(self, existing: RedshiftTable | None) -> LoadPlan:
        return reconcile(
            self.request, self.schema, existing, self.table, self.settings.varchar_lengths
        )

    def _check_names(self, plan: LoadPlan) -> None:
        for names in (self.request.key, self.request.slice.columns):
            missing = [name for name in names if fold(name) not in plan.names]
            if missing:
                raise column_not_found(missing, self.schema.names)

    def _caster(self, plan: LoadPlan) -> BatchCaster:
        return BatchCaster(
            plan,
            self.request.slice,
            tuple(fold(name) for name in self.request.key),
            truncate_timestamps=self.settings.truncate_timestamps,
            rounding=self.request.round,
        )

    def _describe(self, connection: SqlConnection) -> RedshiftTable | None:
        with translated(self.settings, f"look at {self.table}"), connection.cursor() as cursor:
            existing = visible_table(cursor, self.table, reading=False)
        if existing is not None and is_journal(column.name for column in existing.columns):
            raise own_table(self.table, "the journal of another table's writes")
        return existing

    def _prepare(self, plan: LoadPlan, caster: BatchCaster) -> LoadPlan:
        """Bring table and journal into being, or to the new columns, before the transaction begins."""
        longest = caster.longest_bytes()
        with connected(self.settings, self.source) as connection:
            existing = self._describe(connection)
            if existing is None:
                final = plan.measured(longest)
                self._create(connection, final)
                existing = self._describe(connection)
            if existing is None:
                raise unseen_table(connection, self.table, reading=False)
            final = self._plan_against(existing).measured(longest)
            self._check_unchanged(plan, final, caster)
            for statement in alterations(final, existing):
                self._execute(connection, statement)
            self._refuse_any_case(connection)
            if self.settings.write_lock == "journal":
                self._ensure_journal(connection)
        return final

    def _refuse_any_case(self, connection: SqlConnection) -> None:
        if self.request.mode is not WriteMode.MERGE:
            return
        texts = [name for name in self.request.key if is_text(self.schema.column(name).type)]
        with translated(self.settings, f"look at {self.table}"), connection.cursor() as cursor:
            refuse_any_case(cursor, self.table, texts)

    def _ensure_journal(self, connection: SqlConnection) -> None:
        """Create the journal where it is missing: who may only change rows need not create anything."""
        with translated(self.settings, f"look at {self._journal}"), connection.cursor() as cursor:
            columns = column_names(cursor, self._journal)
        if not columns:
            self._execute(connection, create_journal(self._journal))
        elif not is_journal(columns):
            raise name_is_taken(
                self._journal, f"the journal of the writes of {self.table}", columns
            )

    def _create(self, connection: SqlConnection, plan: LoadPlan) -> None:
        layout = (
            self.request.layout if isinstance(self.request, RedshiftWriteRequest) else TableLayout()
        )
        with translated(self.settings, f"look at {self.table}"), connection.cursor() as cursor:
            schema_exists = has_schema(cursor, self.table.schema)
        if not schema_exists:
            self._execute(connection, create_schema(self.table.schema))
        self._execute(connection, create_table(plan, layout))
        for statement in comments(plan, self.schema.comment):
            self._execute(connection, statement)

    def _check_unchanged(self, plan: LoadPlan, final: LoadPlan, caster: BatchCaster) -> None:
        """The files are written: another session must not have given the table other types since."""
        if final.staged_schema != plan.staged_schema:
            raise TransientError(
                f"The columns of {self.table} were changed while rows were being staged.",
                "Run the write again.",
            )
        for column in final.columns:
            longest = caster.longest.get(column.name)
            limit = column.type.length
            if longest is not None and limit is not None and longest.bytes > limit:
                raise ValueDoesNotFitError(
                    f'Row {longest.row}, column "{column.source}" of {self.table}: the value has '
                    f"{longest.bytes} bytes, and the column holds {limit}.",
                    "Set on_schema_change to evolve to widen the column.",
                    details={"column": column.source, "row": longest.row, "bytes": longest.bytes},
                )

    def _execute(self, connection: SqlConnection, statement: sql.Composable) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error as error:
            if not is_already_there(error):
                doing, schema = f"preparation of {self.table}", self.table.schema
                raise translate(error, self.settings, doing, schema=schema) from None

    @property
    def _journal(self) -> TableName:
        return TableName(self.table.schema, derived_name(self.table.name, JOURNAL_SUFFIX))

    def _transaction(self, plan: LoadPlan, staged: Staged, area: StagingArea) -> Transaction:
        return Transaction(
            settings=self.settings,
            source=self.source,
            request=self.request,
            plan=plan,
            schema=self.schema,
            staged=staged,
            prefix_url=area.url(),
            journal=self._journal if self.settings.write_lock == "journal" else None,
            write_id=uuid.uuid4().hex,
            log=self.log,
            extra=self.extra,
        )

    def _result(self, started: float, staged: Staged, committed: Committed) -> WriteResult:
        seconds = time.perf_counter() - started
        details: dict[str, str | int | float] = {
            "format": f"parquet {self.settings.compression}",
            "s3_files": len(staged.files),
            "s3_bytes": staged.bytes,
            "staging_seconds": round(staged.seconds, 3),
            "load_seconds": round(seconds - staged.seconds, 3),
            "attempts": committed.attempts,
        }
        host = self.source.endpoint().host
        if off := what_is_off(tls_mode(self.settings, host), host):
            details["tls"] = f"the connection {off}"
        if committed.query_id is not None:
            details["copy_query_id"] = committed.query_id
        if committed.rows_marked is not None:
            details["rows_marked"] = committed.rows_marked
        if committed.confirmed_later:
            details["commit"] = "confirmed on a second connection"
        if staged.manifest and self.settings.keep_files:
            details["s3_manifest"] = staged.manifest
        return WriteResult(
            table=self.table,
            mode=self.request.mode,
            slice=self.request.slice,
            rows=staged.rows,
            bytes=staged.arrow_bytes,
            seconds=seconds,
            schema=self.schema,
            details=details,
        )


def _cast(batches: Batches, caster: BatchCaster) -> Iterator[pa.RecordBatch]:
    opened = batches.open()
    try:
        for batch in opened:
            for piece in pieces(batch):
                yield caster.cast(piece)
    finally:
        close: Any = getattr(opened, "close", None)
        if close is not None:
            close()
