"""Redshift as a Dagster IO manager: what assets return becomes tables, and tables become inputs.

Reader and writer are imported by what calls them: every run makes the IO managers before its first step.
"""

# pandas has no stubs of its own.
# pyright: reportMissingTypeStubs=false

import logging
from dataclasses import fields
from typing import Any

import dagster as dg
import pyarrow as pa
from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.io_manager import TableIOManager
from tranship.reads import ReadRequest
from tranship.redshift.config import RedshiftConfig
from tranship.redshift.ddl import TableLayout
from tranship.redshift.identifiers import MAX_BYTES
from tranship.writes import WriteRequest, WriteResult

LAYOUT_METADATA = tuple(field.name for field in fields(TableLayout))
"""Metadata of an asset or output, besides `tranship.io_manager.WRITE_METADATA`: how a new table is laid out."""


class RedshiftIOManager(RedshiftConfig, TableIOManager):
    """Stores what assets return in Redshift, and loads it from there.

    Rows are staged as Parquet in S3 and loaded in one transaction. A partitioned asset replaces its
    own partition and nothing else; `BackfillPolicy.single_run` replaces a range of them at once.

    Example:
        ```python
        defs = dg.Definitions(
            assets=[fact_sales],
            resources={
                "io_manager": RedshiftPandasIOManager(
                    region_name="eu-west-1",
                    cluster_identifier="analytics",
                    user="etl",
                    database="dev",
                    host="analytics.abc.eu-west-1.redshift.amazonaws.com",
                    port=5439,
                    s3_iam_role="arn:aws:iam::123456789012:role/redshift-copy",
                    bucket_name="my-staging",
                )
            },
        )
        ```
    """

    @property
    @override
    def longest_name_bytes(self) -> int:
        return MAX_BYTES

    @property
    @override
    def default_load_type(self) -> Any:
        return pa.Table

    @override
    def write_request(self, context: dg.OutputContext) -> WriteRequest:
        """What a context asks to be written, and how a new table is laid out."""
        from tranship.redshift.writer import RedshiftWriteRequest

        request = super().write_request(context)
        try:
            layout = TableLayout.from_metadata(context.definition_metadata or {})
        except (TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"The layout of {request.table} in the metadata cannot be read: {error}.",
                'Write it as {"distkey": "id", "sortkey": ["order_date"], "encodings": {"id": "az64"}}.',
            ) from error
        settings = {one.name: getattr(request, one.name) for one in fields(WriteRequest)}
        return RedshiftWriteRequest(**settings, layout=layout)

    @override
    def write(self, request: WriteRequest, batches: Batches, log: logging.Logger) -> WriteResult:
        from tranship.redshift.writer import write

        return write(self.settings(), request, batches, log=log, credentials=self.credentials())

    @override
    def read(self, request: ReadRequest, log: logging.Logger) -> Batches:
        from tranship.redshift.reader import read

        return read(self.settings(), request, log=log, credentials=self.credentials())


class RedshiftArrowIOManager(RedshiftIOManager):
    """Loads inputs without a type annotation as `pyarrow.Table`."""


class RedshiftPandasIOManager(RedshiftIOManager):
    """Loads inputs without a type annotation as `pandas.DataFrame`."""

    @property
    @override
    def default_load_type(self) -> Any:
        import pandas as pd

        return pd.DataFrame


class RedshiftPolarsIOManager(RedshiftIOManager):
    """Loads inputs without a type annotation as `polars.DataFrame`."""

    @property
    @override
    def default_load_type(self) -> Any:
        import polars as pl

        return pl.DataFrame
