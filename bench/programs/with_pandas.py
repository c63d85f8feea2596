"""pandas, the ways that tutorials and articles go."""

# pyright: reportMissingImports=false
import gzip
import io
from contextlib import closing

import pandas as pd
from job import SCHEMA, Job, run

TUTORIAL_CHUNK = 100_000


def copy_table(job: Job) -> None:
    """A table of SQL Server into Postgres: `read_sql` and `to_sql`."""
    import sqlalchemy as sa

    # Babelfish loses the transaction that SQLAlchemy would roll back; a read needs none.
    source = sa.create_engine(job.pymssql, isolation_level="AUTOCOMMIT")
    frame = pd.read_sql_query(f"select * from dbo.{job.table}", source)
    _to_sql(frame, job)


def load(job: Job) -> None:
    """Arrow rows into Postgres by `to_sql`."""
    _to_sql(_frame(job), job)


def load_csv(job: Job) -> None:
    """Arrow rows into Postgres by `to_csv` and COPY."""
    import psycopg2
    import sqlalchemy as sa

    frame = _frame(job)
    engine = sa.create_engine(job.target)
    frame.head(0).to_sql(job.target_table, engine, schema=SCHEMA, if_exists="replace", index=False)
    text = io.StringIO()
    frame.to_csv(text, index=False, header=False)
    text.seek(0)
    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        cursor.copy_expert(f"copy {SCHEMA}.{job.target_table} from stdin with (format csv)", text)
        connection.commit()


def publish(job: Job) -> None:
    """Arrow rows into Redshift: one gzipped CSV, one put, TRUNCATE and COPY."""
    import boto3
    import psycopg2

    frame = _frame(job)
    compressed = io.BytesIO()
    with gzip.GzipFile(fileobj=compressed, mode="wb") as file:
        frame.to_csv(file, index=False)
    bucket, key = job.settings["bucket"], f"{job.target_table}.csv.gz"
    client = boto3.client("s3", endpoint_url=job.settings["endpoint"])
    client.put_object(Bucket=bucket, Key=key, Body=compressed.getvalue())
    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        # The article has its tables made by hand.
        cursor.execute(job.settings["ddl"].format(table=f"{SCHEMA}.{job.target_table}"))
        cursor.execute(f"delete from {SCHEMA}.{job.target_table}")
        cursor.execute(
            f"copy {SCHEMA}.{job.target_table} from 's3://{bucket}/{key}' iam_role '{job.settings['role']}' "
            "format csv gzip ignoreheader 1"
        )
        connection.commit()


def read_back(job: Job) -> None:
    """A Redshift table into a frame, over the connection."""
    import psycopg2

    with closing(psycopg2.connect(job.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(f"select * from {SCHEMA}.{job.table}")
        names = [column.name for column in cursor.description or ()]
        print(len(pd.DataFrame(cursor.fetchall(), columns=names)))


def _frame(job: Job) -> pd.DataFrame:
    import pyarrow as pa

    with pa.OSFile(job.file, "rb") as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all().to_pandas()


def _to_sql(frame: pd.DataFrame, job: Job) -> None:
    import sqlalchemy as sa

    frame.to_sql(
        job.target_table,
        sa.create_engine(job.target),
        schema=SCHEMA,
        if_exists="replace",
        index=False,
        chunksize=TUTORIAL_CHUNK,
    )


if __name__ == "__main__":
    run(copy_table, load, load_csv, publish, read_back)
