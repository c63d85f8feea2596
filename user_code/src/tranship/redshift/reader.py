"""Read a Redshift table as a stream of record batches: a cursor for few rows, UNLOAD for many."""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from psycopg2 import sql
from sqlalchemy.sql.elements import quoted_name

from tranship.arrow_types import ArrowArray, ArrowField
from tranship.comparisons import sql_column
from tranship.errors import TableNotFoundError, WriteFailedError
from tranship.frames import ROWS_PER_BATCH, Batches
from tranship.pgsql.driver import SqlConnection, SqlCursor, Statement, one_row
from tranship.reads import ReadRequest
from tranship.redshift.aws import aws_errors, s3_client
from tranship.redshift.catalogue import (
    RedshiftTable,
    row_estimate,
    visible_table,
)
from tranship.redshift.connection import connected
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.faults import translate, translated
from tranship.redshift.identifiers import fold, fold_table
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.staging import StagingArea
from tranship.redshift.statements import select_slice
from tranship.retry import retry_transient
from tranship.tables import Column, TableName, TableSchema, column_not_found

FILES_AHEAD = 3
UNLOADED_FILE_MEGABYTES = 32
"""Size of unloaded files. `FILES_AHEAD` of them are in memory while they are read."""
ROWS_PER_FETCH = 1000
"""The most that a cluster of one node allows: https://docs.aws.amazon.com/redshift/latest/dg/fetch.html"""
CURSOR_NAME = "tranship_read"


class ReadVia(StrEnum):
    """How rows leave Redshift."""

    AUTO = "auto"
    """By the planner's estimate of the rows: see `RedshiftSettings.unload_row_threshold`."""
    CURSOR = "cursor"
    """Through the leader node, over the connection."""
    UNLOAD = "unload"
    """From all nodes in parallel to Parquet in the bucket, and from there."""


def read(
    settings: RedshiftSettings,
    request: ReadRequest,
    *,
    log: logging.Logger | None = None,
    credentials: CredentialsSource | None = None,
) -> Batches:
    """Read rows of a table.

    Texts of SUPER columns are JSON. Columns carry the names they were asked for by, and those of the
    table otherwise. Nothing is read before the batches are opened; unloaded files are removed when
    the last batch was taken, or the reading was given up.

    Args:
        settings: The cluster and the bucket.
        request: The table, the slice and the columns.
        log: Where the way that was chosen is told; by default this module's logger.
        credentials: A source to share between reads; by default one is made of the settings.

    Returns:
        The rows, to be opened as often as needed.

    Raises:
        TableNotFoundError: There is no such table, or it may not be seen.
        ColumnNotFoundError: A column was named that the table does not have.

    Example:
        >>> read(settings, ReadRequest(TableName("public", "fact_sales"))).to_polars()  # doctest: +SKIP
    """
    source = credentials or CredentialsSource(settings)
    table = fold_table(request.table)
    existing = retry_transient(
        lambda: _describe(settings, source, table), what=f"reading {table}", log=log
    )
    whole = existing.schema()
    chosen = _chosen(request, whole)
    reading = _Reading(
        settings=settings,
        source=source,
        table=table,
        columns=chosen,
        statement=_select(request, table, chosen, whole, for_unload=False),
        unloaded=_select(request, table, chosen, whole, for_unload=True),
        schema=pa.schema(
            [
                column.to_field().with_name(name)
                for column, name in zip(chosen, request.columns or whole.names, strict=True)
            ]
        ),
        log=log or logging.getLogger(__name__),
    )
    return Batches(reading.schema, reading.open, any_thread=True)


def row_count(
    settings: RedshiftSettings,
    request: ReadRequest,
    *,
    credentials: CredentialsSource | None = None,
) -> int:
    """How many rows a table, or a slice of it, has now.

    Raises:
        TableNotFoundError: There is no such table, or it may not be seen.
        ColumnNotFoundError: The slice's column is not in the table.

    Example:
        >>> row_count(settings, ReadRequest(TableName("public", "fact_sales")))  # doctest: +SKIP
        60398
    """
    source = credentials or CredentialsSource(settings)
    table = fold_table(request.table)
    schema = _describe(settings, source, table).schema()
    with (
        connected(settings, source) as connection,
        translated(settings, f"count of {table}", schema=table.schema, reading=True),
        connection.cursor() as cursor,
    ):
        cursor.execute(*select_slice(table, [sa.func.count()], request.slice, schema))
        ((count,),) = cursor.fetchall()
        return int(count)


@dataclass(frozen=True, slots=True)
class _Reading:
    settings: RedshiftSettings
    source: CredentialsSource
    table: TableName
    columns: tuple[Column, ...]
    statement: Statement
    unloaded: Statement
    schema: pa.Schema
    log: logging.Logger

    def open(self) -> Iterator[pa.RecordBatch]:
        doing = f"reading of {self.table}"
        with connected(self.settings, self.source) as connection:
            with self._translated(doing), connection.cursor() as cursor:
                # What UNLOAD writes of a timestamptz is its wall clock in the session's zone.
                cursor.execute("set timezone to 'UTC'")
                via = self._way(cursor)
            self.log.info("Reading %s by %s.", self.table, via)
            if via is ReadVia.CURSOR:
                yield from self._by_cursor(connection, doing)
                return
            area = StagingArea(s3_client(self.settings), self.settings, self.table, self.log)
            try:
                with area.in_use():
                    rows = self._unload(connection, area, doing)
                    yield from self._from_files(area, rows)
            finally:
                if not self.settings.keep_files:
                    area.remove_all()

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(self.settings, doing, schema=self.table.schema, reading=True)

    def _way(self, cursor: SqlCursor) -> ReadVia:
        wanted = ReadVia(self.settings.read_via)
        if wanted is not ReadVia.AUTO:
            return wanted
        estimate = row_estimate(cursor, *self.statement)
        self.log.debug("The planner expects %s rows of %s.", estimate, self.table)
        many = estimate is None or estimate > self.settings.unload_row_threshold
        return ReadVia.UNLOAD if many else ReadVia.CURSOR

    def _by_cursor(self, connection: SqlConnection, doing: str) -> Iterator[pa.RecordBatch]:
        connection.autocommit = False  # a named cursor lives in a transaction
        with self._translated(doing), connection.cursor(CURSOR_NAME) as cursor:
            cursor.execute(*self.statement)
            for rows in _gathered(cursor):
                arrays = [
                    _array(values, field)
                    for values, field in zip(zip(*rows, strict=True), self.schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        connection.rollback()

    def _unload(self, connection: SqlConnection, area: StagingArea, doing: str) -> int:
        role = self.settings.s3_iam_role
        with self._translated(doing), connection.cursor() as cursor:
            query = cursor.mogrify(*self.unloaded).decode()
            cursor.execute(
                sql.SQL(
                    "unload ({}) to {} iam_role {} format as parquet manifest maxfilesize {} mb{}"
                ).format(
                    sql.Literal(query),
                    sql.Literal(area.url()),
                    sql.SQL("default") if role.lower() == "default" else sql.Literal(role),
                    sql.Literal(UNLOADED_FILE_MEGABYTES),
                    _encryption(self.settings),
                )
            )
            cursor.execute("select pg_last_unload_count()")
            return int(one_row(cursor)[0])

    def _from_files(self, area: StagingArea, expected: int) -> Iterator[pa.RecordBatch]:
        if expected == 0:
            return
        seen = 0
        for data in self._downloaded(area):
            with pq.ParquetFile(pa.BufferReader(data)) as file:
                for batch in file.iter_batches(ROWS_PER_BATCH):
                    seen += batch.num_rows
                    yield self._conformed(batch)
        if seen != expected:
            raise WriteFailedError(
                f"UNLOAD of {self.table} wrote {expected:,} rows, but {seen:,} were found in {area.url()}.",
                "Something else removed files there; read again.",
            )

    def _downloaded(self, area: StagingArea) -> Iterator[bytes]:
        """The files in the manifest's order, a few of them fetched ahead."""
        keys = deque(self._manifest(area))
        with ThreadPoolExecutor(FILES_AHEAD, thread_name_prefix="tranship-download") as pool:
            fetching: deque[Future[bytes]] = deque()
            try:
                while keys or fetching:
                    while keys and len(fetching) < FILES_AHEAD:
                        fetching.append(pool.submit(self._fetch, area, keys.popleft()))
                    yield fetching.popleft().result()
            finally:
                for future in fetching:
                    future.cancel()

    def _manifest(self, area: StagingArea) -> list[str]:
        body = self._fetch(area, area.prefix + "manifest")
        bucket = f"s3://{self.settings.bucket_name}/"
        return [entry["url"].removeprefix(bucket) for entry in json.loads(body)["entries"]]

    def _fetch(self, area: StagingArea, key: str) -> bytes:
        with aws_errors(self.settings, f"reading {area.url(key)}"):
            reply = area.client.get_object(Bucket=self.settings.bucket_name, Key=key)
            return reply["Body"].read()

    def _conformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [
            _cast(array, field.type)
            for array, field in zip(batch.columns, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _encryption(settings: RedshiftSettings) -> sql.Composable:
    """How UNLOAD encrypts: SSE-S3 by itself, which is AES256; a key of KMS has to be asked for.

    https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html#unload-parameters-encrypted
    """
    if not (settings.s3_encryption or "").startswith("aws:kms"):
        return sql.SQL("")
    if settings.kms_key_id:
        return sql.SQL(" kms_key_id {} encrypted").format(sql.Literal(settings.kms_key_id))
    return sql.SQL(" encrypted auto")


def _describe(
    settings: RedshiftSettings, source: CredentialsSource, table: TableName
) -> RedshiftTable:
    with connected(settings, source) as connection, connection.cursor() as cursor:
        try:
            existing = visible_table(cursor, table, reading=True)
        except psycopg2.Error as error:
            doing = f"look at {table}"
            raise translate(error, settings, doing, schema=table.schema, reading=True) from None
    if existing is None:
        raise TableNotFoundError(
            f"There is no table {table} in {settings.database}, or these credentials may not see it.",
            "Check schema and name, or write the table first.",
        )
    return existing


def _chosen(request: ReadRequest, whole: TableSchema) -> tuple[Column, ...]:
    if request.columns is None:
        return whole.columns
    missing = [name for name in request.columns if fold(name) not in whole.names]
    if missing:
        raise column_not_found(missing, whole.names)
    return tuple(whole.column(fold(name)) for name in request.columns)


def _select(
    request: ReadRequest,
    table: TableName,
    columns: tuple[Column, ...],
    whole: TableSchema,
    *,
    for_unload: bool,
) -> Statement:
    chosen = [_expression(column, for_unload=for_unload) for column in columns]
    return select_slice(table, chosen, request.slice, whole)


def _expression(column: Column, *, for_unload: bool) -> sa.ColumnElement[Any]:
    plain = sql_column(column.name)
    if column.source_type is not None and column.source_type.name == "super" and not for_unload:
        return sa.func.json_serialize(plain).label(quoted_name(column.name, quote=True))
    if for_unload and pa.types.is_time(column.type):
        # UNLOAD to Parquet has no TIME.
        return sa.cast(plain, sa.String(16)).label(quoted_name(column.name, quote=True))
    return plain


def _gathered(cursor: SqlCursor) -> Iterator[list[tuple[Any, ...]]]:
    """A cursor's rows, a batch at a time."""
    waiting: list[tuple[Any, ...]] = []
    while rows := cursor.fetchmany(ROWS_PER_FETCH):
        waiting += rows
        if len(waiting) >= ROWS_PER_BATCH:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _array(values: tuple[Any, ...], field: ArrowField) -> ArrowArray:
    if pa.types.is_large_binary(field.type):
        values = tuple(_bytes(value) for value in values)
    return pa.array(values, type=field.type)


def _bytes(value: Any) -> bytes | None:
    """A VARBYTE as the driver gives it: hexadecimal digits, with or without a prefix."""
    if value is None:
        return None
    return bytes.fromhex(value.removeprefix("\\x")) if isinstance(value, str) else bytes(value)


def _cast(array: ArrowArray, wanted: pa.DataType) -> ArrowArray:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if array.type == wanted:
        return array
    if pa.types.is_time(wanted):
        # Arrow reads times from texts only as part of a timestamp.
        array = pc.call_function(
            "binary_join_element_wise", [pa.scalar("1970-01-01"), array, pa.scalar(" ")]
        ).cast(pa.timestamp("us"))
    return array.cast(wanted)
