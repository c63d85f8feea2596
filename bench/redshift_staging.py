"""How fast rows get from Arrow into S3 for a COPY, and in how much memory: ours, the article's way, awswrangler's.

`python bench/redshift_staging.py` starts a moto server of its own. Each way runs in a process of its own, on
the same frame: 8 integers, 4 decimals, 8 texts and 6 timestamps. Peak memory is what the process took beyond
what it held before it began to stage.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa

BUCKET = "tranship-bench"
MILLION = 1_000_000
CHUNK = 65_536
DISTINCT_CHUNKS = 16
TARGETS = {"article": 15.0, "awswrangler": 4.0}
TARGET_MEGABYTES = 130


def chunk(seed: int, rows: int = CHUNK) -> pa.RecordBatch:
    """Rows of 26 columns: some repeat a lot, some never."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for n in range(8):
        columns[f"int_{n}"] = pa.array(random.integers(0, 10 ** (n + 1), rows))
    for n in range(4):
        cents = pa.array(random.integers(0, 10**7, rows)).cast(pa.decimal128(19, 0))
        columns[f"amount_{n}"] = pa.Array.from_buffers(pa.decimal128(18, 2), rows, cents.buffers())
    labels = np.array([f"category {n}" for n in range(50)])
    for n in range(4):
        columns[f"category_{n}"] = pa.array(labels[random.integers(0, 50, rows)])
    for n in range(4):
        numbers = random.integers(0, 2**60, rows).tolist()
        columns[f"text_{n}"] = pa.array([f"value-{number:x}" for number in numbers])
    for n in range(6):
        micros = random.integers(1_600_000_000_000_000, 1_700_000_000_000_000, rows)
        columns[f"at_{n}"] = pa.array(micros).cast(pa.timestamp("us"))
    return pa.RecordBatch.from_pydict(columns)


def chunks(rows: int) -> Iterator[pa.RecordBatch]:
    """So many rows, from a few chunks over and over: reading them costs nothing."""
    made = [chunk(seed) for seed in range(DISTINCT_CHUNKS)]
    for start in range(0, rows, CHUNK):
        yield made[start // CHUNK % DISTINCT_CHUNKS].slice(0, min(CHUNK, rows - start))


class PeakMemory:
    """The most memory this process took beyond what it had at the start, sampled."""

    def __enter__(self) -> "PeakMemory":
        self._base = self._peak = _resident_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self._peak = max(self._peak, _resident_bytes())

    @property
    def megabytes(self) -> float:
        """Megabytes at the highest point so far."""
        return (self._peak - self._base) / 1e6


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def tranship(rows: int, endpoint: str) -> Callable[[], int]:
    """Ours: shaped, measured and checked batches, one rolling Parquet writer, multipart uploads."""
    import logging

    from tranship.frames import Batches
    from tranship.redshift.aws import s3_client
    from tranship.redshift.plan import plan_load
    from tranship.redshift.settings import RedshiftSettings
    from tranship.redshift.shape import Shaper
    from tranship.redshift.staging import StagingArea, pieces
    from tranship.slices import WholeTable
    from tranship.tables import TableName, TableSchema
    from tranship.writes import WriteRequest

    settings = RedshiftSettings(
        database="dev", bucket_name=BUCKET, s3_iam_role="default", host="localhost", user="u",
        password="p", s3_endpoint_url=endpoint,
    )  # fmt: skip
    made = [chunk(seed) for seed in range(DISTINCT_CHUNKS)]
    table = TableName("public", "fact")

    def source() -> Iterator[pa.RecordBatch]:
        for start in range(0, rows, CHUNK):
            yield made[start // CHUNK % DISTINCT_CHUNKS].slice(0, min(CHUNK, rows - start))

    batches = Batches(made[0].schema, source)

    def run() -> int:
        schema = TableSchema.from_arrow(batches.schema)
        plan = plan_load(WriteRequest(table), schema, None, table, {})
        shaper = Shaper(plan, WholeTable())
        area = StagingArea(s3_client(settings), settings, table, logging.getLogger())
        shaped = (shaper.shape(piece) for batch in batches.open() for piece in pieces(batch))
        return area.stage(shaped, plan.staged_schema).bytes

    return run


def article(rows: int, endpoint: str) -> Callable[[], int]:
    """The article's: to_csv into one gzip buffer, one put_object."""
    frame = pa.Table.from_batches(list(chunks(rows))).to_pandas()
    client = boto3.client("s3", endpoint_url=endpoint)

    def run() -> int:
        import io

        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
            frame.to_csv(file, index=False)
        body = buffer.getvalue()
        client.put_object(Bucket=BUCKET, Key="article.csv.gz", Body=body)
        return len(body)

    return run


def awswrangler(rows: int, endpoint: str) -> Callable[[], int]:
    """What awswrangler's redshift.copy stages with."""
    import awswrangler as wr

    wr.config.s3_endpoint_url = endpoint
    frame = pa.Table.from_batches(list(chunks(rows))).to_pandas()
    path = f"s3://{BUCKET}/awswrangler/"

    def run() -> int:
        wr.s3.to_parquet(frame, path=path, dataset=True, compression="snappy", mode="overwrite")
        return sum(size or 0 for size in wr.s3.size_objects(path).values())

    return run


WAYS = {"tranship": tranship, "article": article, "awswrangler": awswrangler}


def measure(way: str, rows: int, endpoint: str) -> dict[str, float]:
    """One run, in this process."""
    run = WAYS[way](rows, endpoint)
    cpu, started = time.process_time(), time.perf_counter()
    with PeakMemory() as memory:
        size = run()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_megabytes": memory.megabytes,
        "megabytes": size / 1e6,
    }


def in_own_process(way: str, rows: int, endpoint: str) -> dict[str, float]:
    """One run, in a new process."""
    command = [sys.executable, __file__, "--way", way, "--rows", str(rows), "--endpoint", endpoint]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(endpoint: str, runs: int, most_rows: int) -> bool:
    """Run everything and print it; whether the targets were met."""
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    found: dict[tuple[str, int], dict[str, float]] = {}
    plan = [("tranship", MILLION), ("article", MILLION), ("awswrangler", MILLION)]
    print(f"{'way':12} {'rows':>9} {'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'S3 MB':>8}")
    for way, rows in [*plan, ("tranship", most_rows)]:
        several = [
            in_own_process(way, rows, endpoint) for _ in range(1 if way == "article" else runs)
        ]
        best = min(several, key=lambda one: one["seconds"])
        best["peak_megabytes"] = max(one["peak_megabytes"] for one in several)
        found[way, rows] = best
        print(
            f"{way:12} {rows:>9,} {best['seconds']:>8.2f} {best['cpu_seconds']:>8.2f} "
            f"{best['peak_megabytes']:>8.0f} {best['megabytes']:>8.1f}"
        )
    ours = found["tranship", MILLION]
    met = True
    for way, target in TARGETS.items():
        ratio = found[way, MILLION]["seconds"] / ours["seconds"]
        met &= ratio >= target
        print(f"{ratio:.1f}x faster than {way} (target {target:.0f}x)")
    peak = max(found["tranship", rows]["peak_megabytes"] for rows in (MILLION, most_rows))
    met &= peak < TARGET_MEGABYTES
    print(
        f"extra memory at most {peak:.0f} MB at {most_rows:,} rows (target {TARGET_MEGABYTES} MB)"
    )
    return met


def main() -> int:
    """Compare all ways, or measure one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--rows", type=int, default=4 * MILLION, help="rows of the large run")
    parser.add_argument("--endpoint", help="an S3 server; one is started without it")
    parser.add_argument("--runs", type=int, default=3, help="the fastest of so many counts")
    arguments = parser.parse_args()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        os.environ.setdefault(name, value)
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.rows, arguments.endpoint)))
        return 0
    if arguments.endpoint:
        return 0 if compare(arguments.endpoint, arguments.runs, arguments.rows) else 1
    from standins.embedded import EmbeddedS3

    with tempfile.TemporaryDirectory() as directory, EmbeddedS3(Path(directory)) as server:
        return 0 if compare(server.endpoint, arguments.runs, arguments.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
