"""ADBC's bulk ingestion."""

# pyright: reportMissingImports=false
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from job import SCHEMA, Job, run


def load(job: Job) -> None:
    """Arrow batches into Postgres."""
    with (
        pa.OSFile(job.file, "rb") as source,
        pa.ipc.open_stream(source) as reader,
        dbapi.connect(job.dsn) as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_ingest(job.target_table, reader, mode="replace", db_schema_name=SCHEMA)
        connection.commit()


if __name__ == "__main__":
    run(load)
