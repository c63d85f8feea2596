"""Parts of the work alone: what no way that does all of it can beat."""

import importlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
from job import SCHEMA, Job, run

ROWS_PER_FETCH = 65_536
ROWS_PER_CHUNK = 8_192
BYTES_PER_PART = 8 * 2**20
ROWS_PER_GROUP = 131_072
DICTIONARY_BYTES = 128 * 1024


def start(job: Job) -> None:
    """Python and what tranship imports for the work, and nothing else."""
    for module in job.settings["imports"].split():
        importlib.import_module(module)


def drain(job: Job) -> None:
    """The loop of the driver's documentation; the rows go nowhere."""
    import mssql_python

    connection = mssql_python.connect(job.settings["odbc"])
    cursor = connection.cursor()
    cursor.execute(f"select * from dbo.{job.table}")
    print(sum(batch.num_rows for batch in cursor.arrow_reader(ROWS_PER_FETCH)))
    connection.close()


def prepare(job: Job) -> None:
    """Not measured: the rows as the encoder takes them, and as the bytes it makes of them."""
    from tranship.frames import Batches
    from tranship.postgres.casting import fit_batch
    from tranship.postgres.copy_in import Encoder, encode
    from tranship.postgres.ddl import new_columns
    from tranship.postgres.settings import PostgresSettings
    from tranship.postgres.writer import write
    from tranship.tables import TableName, TableSchema
    from tranship.writes import WriteRequest

    with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
        request = WriteRequest(TableName(SCHEMA, "bench_like"))
        plans = new_columns(request, TableSchema.from_arrow(reader.schema))
        encoding = encode(plans, Encoder.BINARY)
        fitted = pa.schema([(plan.name, plan.wire) for plan in plans])
        with (
            pa.OSFile(job.settings["fitted"], "wb") as sink,
            pa.ipc.new_stream(sink, fitted) as out,
        ):
            for batch in reader:
                out.write_batch(fit_batch(batch, plans, request.table, 0))
    with Path(job.settings["encoded"]).open("wb") as sink:
        for chunk in encoding.chunks(_fitted(job)):
            sink.write(chunk)
    import psycopg2

    with closing(psycopg2.connect(job.dsn)) as connection:
        connection.cursor().execute(f"drop table if exists {SCHEMA}.bench_like")
        connection.commit()
    empty = Batches.of(pa.table({field.name: pa.array([], field.type) for field in reader.schema}))
    write(PostgresSettings.from_url(job.target), request, empty)


def encode(job: Job) -> None:
    """Arrow rows into COPY's binary format; the bytes go nowhere."""
    import pgpq

    encoder: Any = None
    for batch in _fitted(job):
        if encoder is None:
            encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.schema)
            encoder.write_header()
        for begin in range(0, batch.num_rows, ROWS_PER_CHUNK):
            encoder.write_batch(batch.slice(begin, ROWS_PER_CHUNK))


def copy(job: Job) -> None:
    """COPY of bytes that are there already, into a new table."""
    import psycopg2

    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        table = f"{SCHEMA}.{job.target_table}"
        cursor.execute(f"drop table if exists {table}")
        cursor.execute(f"create table {table} (like {SCHEMA}.bench_like)")
        with Path(job.settings["encoded"]).open("rb") as encoded:
            cursor.copy_expert(
                f"copy {table} from stdin with (format binary, freeze)", encoded, 2**20
            )
        connection.commit()


def parquet(job: Job) -> None:
    """Arrow rows into one Parquet file in memory, as tranship stages them."""
    import io

    import pyarrow.parquet as pq

    sink = io.BytesIO()
    with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
        table = reader.read_all()
    pq.write_table(
        table,
        sink,
        compression="snappy",
        row_group_size=ROWS_PER_GROUP,
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        store_schema=False,
    )
    if "keep" in job.settings:
        Path(job.settings["keep"]).write_bytes(sink.getvalue())


def upload(job: Job) -> None:
    """As many bytes as tranship stages, in parts of one multipart upload."""
    import boto3

    body = Path(job.settings["staged"]).read_bytes()
    client = boto3.client("s3", endpoint_url=job.settings["endpoint"])
    where = {"Bucket": job.settings["bucket"], "Key": "limit"}
    begun = client.create_multipart_upload(**where)["UploadId"]
    done = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                **where, UploadId=begun, PartNumber=number, Body=body[at : at + BYTES_PER_PART]
            )["ETag"],
        }
        for number, at in enumerate(range(0, len(body), BYTES_PER_PART), start=1)
    ]
    client.complete_multipart_upload(**where, UploadId=begun, MultipartUpload={"Parts": done})


def warehouse_copy(job: Job) -> None:
    """The warehouse's own COPY of a file that is in S3 already."""
    import psycopg2

    table = f"{SCHEMA}.{job.target_table}"
    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(job.settings["ddl"].format(table=table))
        cursor.execute(f"delete from {table}")
        cursor.execute(
            f"copy {table} from 's3://{job.settings['bucket']}/{job.settings['manifest']}' "
            f"iam_role '{job.settings['role']}' format parquet manifest"
        )
        connection.commit()


def warehouse_unload(job: Job) -> None:
    """The warehouse's own UNLOAD; nobody reads the files."""
    import psycopg2

    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"unload ('select * from {SCHEMA}.{job.table}') "
            f"to 's3://{job.settings['bucket']}/limit-unload/' iam_role '{job.settings['role']}' "
            "format parquet allowoverwrite"
        )
        connection.commit()


def _fitted(job: Job) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(job.settings["fitted"], "rb") as source, pa.ipc.open_stream(source) as reader:
        yield from reader


if __name__ == "__main__":
    run(start, drain, prepare, encode, copy, parquet, upload, warehouse_copy, warehouse_unload)
