"""Redshift as a Dagster resource: for assets that run SQL of their own, read, or write in steps.

Reader and writer are imported by what calls them: every run makes the resources before its first step.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg

from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.redshift.config import RedshiftConfig
from tranship.redshift.connection import connected
from tranship.redshift.faults import translated
from tranship.writes import WriteRequest, WriteResult

if TYPE_CHECKING:
    from tranship.redshift.transaction import Extra
    from tranship.redshift.writer import Progress


class RedshiftResource(RedshiftConfig, dg.ConfigurableResource):
    """A Redshift database and its staging bucket.

    Example:
        ```python
        @dg.asset
        def refreshed(redshift: RedshiftResource) -> None:
            with redshift.transaction() as cursor:
                cursor.execute("refresh materialized view sales_by_month")
        ```
    """

    system: ClassVar[str] = "redshift"
    """What `tranship.systems` calls it."""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A psycopg2 cursor in a transaction: committed at the end of the block, rolled back on an error.

        Raises:
            TranshipError: Redshift cannot be reached, or refused a statement.
        """
        settings = self.settings()
        with connected(settings, self.credentials()) as connection:
            connection.autocommit = False
            with translated(settings, "statement"), connection.cursor() as cursor:
                yield cursor
                connection.commit()

    def read(self, request: ReadRequest, *, log: logging.Logger | None = None) -> Batches:
        """Read rows of a table: see `tranship.redshift.reader.read`."""
        from tranship.redshift.reader import read

        return read(self.settings(), request, log=log, credentials=self.credentials())

    def write(
        self,
        request: WriteRequest,
        batches: Batches,
        *,
        log: logging.Logger | None = None,
        progress: "Progress | None" = None,
        extra: "Extra | None" = None,
    ) -> WriteResult:
        """Write rows to a table: see `tranship.redshift.writer.write`."""
        from tranship.redshift.writer import write

        return write(
            self.settings(),
            request,
            batches,
            log=log,
            progress=progress,
            extra=extra,
            credentials=self.credentials(),
        )
