"""tranship as a library, as `docs/library.md` shows it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from job import SCHEMA, Job, run

from tranship.frames import Batches
from tranship.tables import TableName
from tranship.writes import WriteRequest

if TYPE_CHECKING:
    from tranship.postgres.settings import PostgresSettings
    from tranship.redshift.settings import RedshiftSettings


def copy_table(job: Job) -> None:
    """A table of SQL Server into Postgres."""
    from tranship.postgres.writer import write
    from tranship.reads import ReadRequest
    from tranship.slices import KeyRange, WholeTable
    from tranship.sqlserver.options import ReadOptions
    from tranship.sqlserver.reader import read
    from tranship.sqlserver.settings import SqlServerSettings

    most = job.settings.get("most_rows")
    wanted = KeyRange("Id", None, most + 1) if most else WholeTable()
    batches = read(
        SqlServerSettings.from_url(job.source),
        ReadRequest(TableName("dbo", job.table), wanted),
        ReadOptions(parts=job.settings.get("parts", 1), part_column="Id"),
    )
    request = WriteRequest(TableName(SCHEMA, job.target_table))
    write(_postgres(job), request, batches)


def load(job: Job) -> None:
    """Arrow batches into Postgres."""
    from tranship.postgres.copy_in import Encoder
    from tranship.postgres.writer import write

    write(
        _postgres(job),
        WriteRequest(TableName(SCHEMA, job.target_table)),
        _rows(job),
        encoder=Encoder(job.settings.get("encoder", "auto")),
    )


def publish(job: Job) -> None:
    """Arrow batches into Redshift, by way of S3."""
    from tranship.redshift.writer import write

    write(_redshift(job), WriteRequest(TableName(SCHEMA, job.target_table)), _rows(job))


def read_back(job: Job) -> None:
    """A Redshift table into a pandas frame."""
    from tranship.reads import ReadRequest
    from tranship.redshift.reader import read

    frame = read(_redshift(job), ReadRequest(TableName(SCHEMA, job.table))).to_pandas()
    print(len(frame))


def _postgres(job: Job) -> "PostgresSettings":
    from tranship.postgres.settings import PostgresSettings

    where = urlsplit(job.dsn)
    return PostgresSettings(
        host=where.hostname or "localhost",
        port=where.port or 5432,
        database=where.path.lstrip("/"),
        user=where.username or "postgres",
        password=unquote(where.password or "") or None,
    )


def _redshift(job: Job) -> "RedshiftSettings":
    from tranship.redshift.settings import RedshiftSettings

    where = urlsplit(job.target)
    return RedshiftSettings(
        host=where.hostname,
        port=where.port or 5439,
        database=where.path.lstrip("/"),
        user=where.username,
        password=unquote(where.password or ""),
        bucket_name=job.settings["bucket"],
        s3_iam_role=job.settings["role"],
        s3_endpoint_url=job.settings["endpoint"],
    )


def _rows(job: Job) -> Batches:
    def opened() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
            yield from reader

    with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
        return Batches(reader.schema, opened, any_thread=True)


if __name__ == "__main__":
    run(copy_table, load, publish, read_back)
