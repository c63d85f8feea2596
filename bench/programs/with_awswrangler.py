"""awswrangler's Redshift functions."""

# pyright: reportMissingImports=false
from urllib.parse import unquote, urlsplit

import awswrangler as wr
import pyarrow as pa
import redshift_connector
from job import SCHEMA, Job, run


def publish(job: Job) -> None:
    """Arrow rows into Redshift: a frame, Parquet files in S3, COPY."""
    with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
        frame = reader.read_all().to_pandas()
    with _connected(job) as connection:
        wr.redshift.copy(
            frame,
            path=f"s3://{job.settings['bucket']}/{job.target_table}/",
            con=connection,
            schema=SCHEMA,
            table=job.target_table,
            iam_role=job.settings["role"],
            mode="overwrite",
        )


def unload(job: Job) -> None:
    """A Redshift table into a frame, by UNLOAD and Parquet files."""
    with _connected(job) as connection:
        frame = wr.redshift.unload(
            f"select * from {SCHEMA}.{job.table}",
            path=f"s3://{job.settings['bucket']}/{job.target_table}-unload/",
            con=connection,
            iam_role=job.settings["role"],
        )
    print(len(frame))


def query(job: Job) -> None:
    """A Redshift table into a frame, over the connection."""
    with _connected(job) as connection:
        frame = wr.redshift.read_sql_query(f"select * from {SCHEMA}.{job.table}", con=connection)
    print(len(frame))


def _connected(job: Job) -> redshift_connector.Connection:
    wr.config.s3_endpoint_url = job.settings["endpoint"]
    where = urlsplit(job.target)
    return redshift_connector.connect(
        host=where.hostname,
        port=where.port,
        database=where.path.lstrip("/"),
        user=where.username,
        password=unquote(where.password or ""),
        ssl=False,
    )


if __name__ == "__main__":
    run(publish, unload, query)
