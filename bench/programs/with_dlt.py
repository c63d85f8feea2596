"""dlt, as its documentation says for tables and for Arrow data."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
import os
from typing import Any

from job import SCHEMA, Job, run

CHUNK_ROWS = 65_536


def copy_table(job: Job) -> None:
    """A table of SQL Server into Postgres, through one of dlt's backends."""
    import sqlalchemy as sa
    from dlt.sources.sql_database import sql_table
    from sqlalchemy.dialects.mssql.base import MSDialect

    # They are not moved, and Babelfish lacks the view they are read from.
    MSDialect.get_multi_foreign_keys = lambda *_, **__: iter(())

    options: dict[str, Any] = {"backend": job.settings["backend"]}
    if options["backend"] == "connectorx":
        address = job.source.partition("?")[0].partition("://")[2]
        # With encrypt=false it times out on a server that does without; trusting is enough for both.
        options["backend_kwargs"] = {
            "conn": f"mssql://{address}?trust_server_certificate=true",
            "return_type": "arrow",
        }
    # Babelfish loses the transaction that SQLAlchemy would roll back; a read needs none.
    source = sa.create_engine(job.pymssql, isolation_level="AUTOCOMMIT")
    rows = sql_table(
        credentials=source, table=job.table, schema="dbo", chunk_size=CHUNK_ROWS, **options
    )
    _pipeline(job, _postgres(job)).run(
        rows, write_disposition="replace", table_name=job.target_table
    )


def load(job: Job) -> None:
    """Arrow batches into Postgres."""
    _pipeline(job, _postgres(job)).run(
        _rows(job), write_disposition="replace", table_name=job.target_table
    )


def publish(job: Job) -> None:
    """Arrow batches into Redshift, by Parquet files in S3."""
    import dlt

    settings = job.settings
    staging = dlt.destinations.filesystem(
        bucket_url=f"s3://{settings['bucket']}/dlt",
        credentials={
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "region_name": os.environ["AWS_DEFAULT_REGION"],
            "endpoint_url": settings["endpoint"],
        },
    )
    redshift = dlt.destinations.redshift(credentials=job.dsn, staging_iam_role=settings["role"])
    _pipeline(job, redshift, staging=staging).run(
        _rows(job),
        write_disposition="replace",
        table_name=job.target_table,
        loader_file_format="parquet",
    )


def _postgres(job: Job) -> Any:
    import dlt

    return dlt.destinations.postgres(credentials=job.dsn)


def _pipeline(job: Job, destination: Any, **options: Any) -> Any:
    import dlt

    return dlt.pipeline(
        job.target_table,
        pipelines_dir=job.directory,
        destination=destination,
        dataset_name=SCHEMA,
        **options,
    )


def _rows(job: Job) -> Any:
    import dlt
    import pyarrow as pa

    @dlt.resource
    def rows() -> Any:
        with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    return rows


if __name__ == "__main__":
    run(copy_table, load, publish)
