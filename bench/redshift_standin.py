"""What the Redshift stand-in costs: COPY of Parquet and UNLOAD, against a plain COPY of the same rows as CSV.

The gateway decodes Parquet and feeds a COPY of its own, so the yardstick is the decoding plus psycopg2's COPY of
the same rows into the same Postgres. The gateway is a process of its own, whose peak memory is shown.

    .venv/bin/python bench/redshift_standin.py --rows 1000000 --rounds 3
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from standins.embedded import EmbeddedPostgres, EmbeddedRedshift, EmbeddedS3

BUCKET = "tranship-bench"
PARTS = 8
COLUMNS = {
    **{f"number_{n}": "bigint" for n in range(8)},
    **{f"amount_{n}": "numeric(18,2)" for n in range(4)},
    **{f"text_{n}": "varchar(64)" for n in range(8)},
    **{f"moment_{n}": "timestamp" for n in range(6)},
}
DDL = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())


def rows(count: int) -> pa.Table:
    """Rows of 26 columns: 8 integers, 4 decimals, 8 texts (4 of few values), 6 timestamps."""
    random = np.random.default_rng(1)
    words: Any = pa.array(["alpha", "beta", "gamma", "delta"])

    def column(name: str, type_: str) -> Any:
        numbers: Any = pa.array(random.integers(0, 10**9, count))
        if type_ == "bigint":
            return numbers
        if type_ == "numeric(18,2)":
            return (
                numbers.cast(pa.decimal128(19, 0))
                .cast(pa.decimal128(38, 2))
                .cast(pa.decimal128(18, 2))
            )
        if type_ == "timestamp":
            return pa.array(random.integers(10**15, 17 * 10**14, count)).cast(pa.timestamp("us"))
        few = int(name[-1]) < 4
        return (
            words.take(pa.array(random.integers(0, 4, count))) if few else numbers.cast(pa.string())
        )

    return pa.table({name: column(name, type_) for name, type_ in COLUMNS.items()})


def staged(s3: Any, table: pa.Table) -> list[bytes]:
    """The rows as Parquet parts in the bucket, with a manifest."""
    files, entries = [], []
    per_part = -(-table.num_rows // PARTS)
    for number in range(PARTS):
        sink = io.BytesIO()
        pq.write_table(table.slice(number * per_part, per_part), sink)
        files.append(sink.getvalue())
        s3.put_object(Bucket=BUCKET, Key=f"rows/{number}.parquet", Body=files[-1])
        entries.append(
            {
                "url": f"s3://{BUCKET}/rows/{number}.parquet",
                "mandatory": True,
                "meta": {"content_length": len(files[-1])},
            }
        )
    s3.put_object(Bucket=BUCKET, Key="manifest", Body=json.dumps({"entries": entries}))
    return files


def yardstick(cursor: Any, files: list[bytes]) -> float:
    """Seconds to decode the parts and to COPY them as CSV over psycopg2."""
    started = time.perf_counter()
    decoded = [pq.read_table(io.BytesIO(file)) for file in files]
    spent = time.perf_counter() - started
    for part in decoded:
        texts = [
            column.cast(pa.string()) if pa.types.is_decimal(column.type) else column
            for column in part.columns
        ]
        sink = io.BytesIO()
        pyarrow.csv.write_csv(
            pa.table(texts, names=part.column_names),
            sink,
            pyarrow.csv.WriteOptions(include_header=False),
        )
        sink.seek(0)
        started = time.perf_counter()
        cursor.copy_expert("copy bench from stdin csv", sink)
        spent += time.perf_counter() - started
    return spent


def timed(cursor: Any, statement: str) -> float:
    """Seconds one statement takes."""
    started = time.perf_counter()
    cursor.execute(statement)
    return time.perf_counter() - started


def peak_mb(pid: int) -> float:
    """The most memory a process has had, in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    """Start the systems, run both ways in turn, print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        with EmbeddedS3(directory / "s3") as aws, EmbeddedPostgres(directory / "pg") as postgres:
            os.environ.update(aws.environment())
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            role = boto3.client("iam").create_role(RoleName="load", AssumeRolePolicyDocument="{}")
            files = staged(boto3.client("s3"), rows(given.rows))
            plain = psycopg2.connect(postgres.create_database("plain").replace("+psycopg2", ""))
            backend = postgres.create_database("redshift")
            with EmbeddedRedshift(directory / "redshift", backend, aws.endpoint) as redshift:
                through = psycopg2.connect(redshift.url().replace("redshift://", "postgresql://"))
                compare(given, plain, through, files, role["Role"]["Arn"])
                print(f"gateway: {peak_mb(redshift.pid):.0f} MB at most")


def compare(given: Any, plain: Any, through: Any, files: list[bytes], role: str) -> None:
    """Run the ways in turn, check each, and print their medians."""
    took: dict[str, list[float]] = {"decode and plain COPY": [], "COPY": [], "UNLOAD": []}
    for connection in (plain, through):
        connection.autocommit = True
        connection.cursor().execute(f"create table bench ({DDL})")
    for number in range(given.rounds):
        for cursor in (plain.cursor(), through.cursor()):
            cursor.execute("truncate bench")
        took["decode and plain COPY"].append(yardstick(plain.cursor(), files))
        authority = f"iam_role '{role}' format parquet manifest"
        cursor = through.cursor()
        took["COPY"].append(timed(cursor, f"copy bench from 's3://{BUCKET}/manifest' {authority}"))
        for connection in (plain, through):
            check = connection.cursor()
            check.execute("select count(*) from bench")
            if check.fetchone() != (given.rows,):
                raise SystemExit("rows were lost")
        unload = f"unload ('select * from bench') to 's3://{BUCKET}/out{number}/' {authority}"
        took["UNLOAD"].append(timed(cursor, unload))
    medians = {way: statistics.median(seconds) for way, seconds in took.items()}
    print(f"{given.rows:,} rows x {len(COLUMNS)} columns, median of {given.rounds}")
    for way, seconds in medians.items():
        print(f"{way:24}{seconds:8.2f} s")
    print(f"COPY takes {medians['COPY'] / medians['decode and plain COPY']:.2f} of the yardstick")


if __name__ == "__main__":
    main()
