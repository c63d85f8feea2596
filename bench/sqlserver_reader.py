"""What the reader adds to the driver's own Arrow loop: client CPU, wall time, peak memory.

Each run is a process of its own, so that memory and CPU are the client's alone; the two take turns,
so that a busy moment hits both. Without an address the stand-in is started with the sample warehouse.

    .venv/bin/python bench/sqlserver_reader.py --scale 16.6 --rounds 5
    .venv/bin/python bench/sqlserver_reader.py --url mssql+mssqlpython://sa:...@127.0.0.1:1433/AdventureWorksDW
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TABLE = "FactInternetSales"
ROWS_PER_BATCH = 65_536
WAYS = ("driver", "reader", "reader-4-parts")


def read_with_driver(url: str, rows_per_batch: int) -> int:
    """The loop of the driver's documentation: connect, execute, arrow_reader."""
    from tranship.sqlserver.connection import open_connection
    from tranship.sqlserver.settings import SqlServerSettings

    connection = open_connection(SqlServerSettings.from_url(url))
    cursor = connection.cursor()
    cursor.execute(f"select * from dbo.{TABLE}")
    rows = sum(batch.num_rows for batch in cursor.arrow_reader(rows_per_batch))
    connection.close()
    return rows


def read_with_reader(url: str, parts: int) -> int:
    """The same table through `tranship.sqlserver.reader`."""
    from tranship.reads import ReadRequest
    from tranship.sqlserver.options import ReadOptions
    from tranship.sqlserver.reader import read
    from tranship.sqlserver.settings import SqlServerSettings
    from tranship.tables import TableName

    options = ReadOptions(parts=parts, part_column="OrderDateKey")
    batches = read(SqlServerSettings.from_url(url), ReadRequest(TableName("dbo", TABLE)), options)
    return sum(batch.num_rows for batch in batches)


def measure(way: str, url: str, rows_per_batch: int) -> dict[str, Any]:
    """One run in this process. Imports are not counted; connecting and the catalogue are."""
    import tranship.sqlserver.reader  # noqa: F401
    from tranship.sqlserver.connection import driver

    driver()
    before, started = time.process_time(), time.perf_counter()
    if way == "driver":
        rows = read_with_driver(url, rows_per_batch)
    else:
        rows = read_with_reader(url, 4 if way == "reader-4-parts" else 1)
    return {
        "rows": rows,
        "cpu_seconds": time.process_time() - before,
        "wall_seconds": time.perf_counter() - started,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run_apart(way: str, url: str, rows_per_batch: int) -> dict[str, Any]:
    """One run in a process of its own; the address goes by the environment, unseen by `ps`."""
    command = [sys.executable, __file__, "--one", way, "--rows-per-batch", str(rows_per_batch)]
    done = subprocess.run(
        command,
        env={**os.environ, "TRANSHIP_BENCH_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def compare(url: str, rounds: int, rows_per_batch: int, ways: list[str]) -> None:
    """Run all ways in turn and print their medians."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            results[way].append(run_apart(way, url, rows_per_batch))
    print(
        f"{results[ways[0]][0]['rows']:,} rows of {TABLE}, median of {rounds} rounds in alternation"
    )
    print(f"{'':16}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}{'cpu vs driver':>15}")
    base = statistics.median(run["cpu_seconds"] for run in results[ways[0]])
    for way, runs in results.items():
        if len({run["rows"] for run in runs}) != 1:
            raise SystemExit(f"{way} read different numbers of rows: {runs}")
        cpu = statistics.median(run["cpu_seconds"] for run in runs)
        wall = statistics.median(run["wall_seconds"] for run in runs)
        peak = max(run["peak_rss_mb"] for run in runs)
        print(f"{way:16}{cpu:8.2f}{wall:8.2f}{peak:9.0f}{(cpu / base - 1) * 100:+14.1f}%")


def main() -> None:
    """Start the stand-in where no address is given, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", help="SQL Server with the sample warehouse; default: the stand-in")
    parser.add_argument("--scale", type=float, default=16.6, help="sample scale; 16.6 is 1M rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--rows-per-batch", type=int, default=ROWS_PER_BATCH, help="of the driver's loop"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        url = os.environ["TRANSHIP_BENCH_URL"]
        print(json.dumps(measure(given.one, url, given.rows_per_batch)))
        return
    if given.url:
        compare(given.url, given.rounds, given.rows_per_batch, given.ways)
        return
    from standins.embedded import EmbeddedSqlServer

    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedSqlServer(Path(directory), sample=given.scale) as server,
    ):
        compare(server.url(), given.rounds, given.rows_per_batch, given.ways)


if __name__ == "__main__":
    main()
