"""IO managers that keep assets and op outputs as Postgres tables."""

# pandas has no stubs of its own.
# pyright: reportMissingTypeStubs=false

import logging
from typing import Any

import dagster as dg
import pyarrow as pa
from typing_extensions import override

from tranship.frames import Batches
from tranship.io_manager import TableIOManager
from tranship.postgres.resource import PostgresResource
from tranship.reads import ReadRequest
from tranship.writes import WriteRequest, WriteResult


class PostgresIOManager(TableIOManager):
    """Keeps assets as Postgres tables; inputs without an annotation come as pyarrow Tables.

    Example:
        >>> import dagster as dg
        >>> postgres = PostgresResource(
        ...     host="127.0.0.1", database="warehouse", user="etl", password=dg.EnvVar("PGPASSWORD")
        ... )
        >>> dg.Definitions(
        ...     resources={"io_manager": PostgresIOManager(postgres=postgres, schema="staging")}
        ... )  # doctest: +SKIP
    """

    postgres: dg.ResourceDependency[PostgresResource]

    @property
    @override
    def longest_name_bytes(self) -> int:
        from tranship.postgres.ddl import LONGEST_NAME_BYTES

        return LONGEST_NAME_BYTES

    @property
    @override
    def default_load_type(self) -> Any:
        return pa.Table

    @override
    def write(self, request: WriteRequest, batches: Batches, log: logging.Logger) -> WriteResult:
        return self.postgres.write(request, batches, log=log)

    @override
    def read(self, request: ReadRequest, log: logging.Logger) -> Batches:
        return self.postgres.read(request.table, request.slice, columns=request.columns, log=log)


class PostgresPandasIOManager(PostgresIOManager):
    """A `PostgresIOManager` whose inputs come as pandas frames unless they are annotated otherwise."""

    @property
    @override
    def default_load_type(self) -> Any:
        import pandas as pd

        return pd.DataFrame


class PostgresPolarsIOManager(PostgresIOManager):
    """A `PostgresIOManager` whose inputs come as polars frames unless they are annotated otherwise."""

    @property
    @override
    def default_load_type(self) -> Any:
        import polars as pl

        return pl.DataFrame
