"""The pieces of an answer: the end of a statement, the columns of a result, how many rows are made at once."""

from dataclasses import dataclass

import pyarrow as pa

from standins.sqlserver import tokens
from standins.sqlserver.sources import Query
from standins.sqlserver.type_info import ResultColumn
from standins.sqlserver.types import INT

ROWS_AT_ONCE = 16_384
FIRST_ROWS = 2_048
BYTES_AT_ONCE = 4 * 1024 * 1024


class ConnectionDropped(Exception):  # noqa: N818 - the name of what happens, not of an error
    """A fault switched on by a test: the connection breaks here."""


class Cancelled(Exception):  # noqa: N818
    """The client sent ATTENTION or went away."""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of one statement, before it is known whether another follows."""

    kind: int
    rows: int | None = None
    command: int = 0
    failed: bool = False

    def token(self, *, more: bool) -> bytes:
        """The DONE token."""
        status = (tokens.MORE if more else 0) | (tokens.ERROR if self.failed else 0)
        return tokens.done(self.kind, status, self.rows, self.command)


def rows_at_once(batch: pa.RecordBatch, *, first: bool) -> int:
    """Few rows first, so that the client can start; later as many as keep a piece of the answer small."""
    if first:
        return FIRST_ROWS
    return (
        ROWS_AT_ONCE
        if batch.nbytes < BYTES_AT_ONCE
        else max(BYTES_AT_ONCE * batch.num_rows // batch.nbytes, 1)
    )


def result_columns(query: Query) -> list[ResultColumn]:
    """The columns of a query for COLMETADATA."""
    return [
        ResultColumn(column.name, column.type or INT, column.nullable, column.identity)
        for column in query.columns
    ]
