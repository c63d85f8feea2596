"""The whole way, and how far its two halves overlap: read alone, load alone, and both as one stream.

Each way is a process of its own, so that CPU and memory are the client's alone; ways take turns. The table
is counted and summed in both systems after each run. Without addresses the embedded servers are started;
they share this machine's processors with the client, so give real servers for a figure that means more than
the overlap.

    .venv/bin/python bench/sqlserver_to_postgres.py --scale 16.6 --rounds 3
    .venv/bin/python bench/sqlserver_to_postgres.py --source mssql+mssqlpython://... --target postgresql://...
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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

TABLE = "FactInternetSales"
WAYS = ("read", "load", "read-and-load")


def measure(way: str, source: str, target: str, file: Path) -> dict[str, Any]:
    """One way, timed from the first connection to the last acknowledgement."""
    from tranship.frames import Batches
    from tranship.postgres.connection import PostgresSettings
    from tranship.postgres.writer import write
    from tranship.reads import ReadRequest
    from tranship.sqlserver.reader import read
    from tranship.sqlserver.settings import SqlServerSettings
    from tranship.tables import TableName
    from tranship.writes import WriteRequest

    def spooled() -> Any:
        with pa.memory_map(str(file)) as mapped:
            opened = pa.ipc.open_file(mapped)
            for number in range(opened.num_record_batches):
                yield opened.get_batch(number)

    request = WriteRequest(TableName("public", f"bench_{way.replace('-', '_')}"))
    started, before = time.perf_counter(), time.process_time()
    if way == "load":
        with pa.memory_map(str(file)) as mapped:
            batches = Batches(pa.ipc.open_file(mapped).schema, spooled)
    else:
        batches = read(SqlServerSettings.from_url(source), ReadRequest(TableName("dbo", TABLE)))
    if way == "read":
        rows = sum(batch.num_rows for batch in batches)
    else:
        rows = write(PostgresSettings.from_url(target), request, batches).rows
    return {
        "rows": rows,
        "cpu_seconds": time.process_time() - before,
        "wall_seconds": time.perf_counter() - started,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def spool(source: str, file: Path) -> None:
    """Write the source's rows to the Arrow file that `load` alone reads."""
    from tranship.reads import ReadRequest
    from tranship.sqlserver.reader import read
    from tranship.sqlserver.settings import SqlServerSettings
    from tranship.tables import TableName

    batches = read(SqlServerSettings.from_url(source), ReadRequest(TableName("dbo", TABLE)))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def run_apart(way: str, source: str, target: str, file: Path) -> dict[str, Any]:
    """One run in a process of its own; the addresses go by the environment, unseen by `ps`."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, "--file", str(file)],
        env={**os.environ, "TRANSHIP_BENCH_SOURCE": source, "TRANSHIP_BENCH_TARGET": target},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def check(source: str, target: str) -> None:
    """A fast wrong answer is no answer: both systems must agree on rows and cents."""
    import psycopg2

    from tranship.sqlserver.connection import connect
    from tranship.sqlserver.settings import SqlServerSettings

    with connect(SqlServerSettings.from_url(source), doing="checking") as connection:
        cursor = connection.cursor()
        cursor.execute(f"select count_big(*), sum(SalesAmount) from dbo.{TABLE}")
        expected = tuple(cursor.fetchone())
    connection = psycopg2.connect(target.replace("+psycopg2", ""))
    for table in ("bench_load", "bench_read_and_load"):
        with connection.cursor() as cursor:
            cursor.execute(f'select count(*), sum("SalesAmount") from public.{table}')
            found = cursor.fetchone()
        if found != expected:
            raise SystemExit(f"{table} has {found}, the source {expected}")
    connection.close()


def compare(source: str, target: str, rounds: int, file: Path) -> None:
    """Run all ways in turn and print their medians, and the overlap."""
    spool(source, file)
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            results[way].append(run_apart(way, source, target, file))
        check(source, target)
    print(
        f"{results['read'][0]['rows']:,} rows of {TABLE}, median of {rounds} rounds in alternation"
    )
    print(f"{'':16}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
    wall: dict[str, float] = {}
    for way, runs in results.items():
        cpu = statistics.median(run["cpu_seconds"] for run in runs)
        wall[way] = statistics.median(run["wall_seconds"] for run in runs)
        peak = max(run["peak_rss_mb"] for run in runs)
        print(f"{way:16}{cpu:8.2f}{wall[way]:8.2f}{peak:9.0f}")
    saved = wall["read"] + wall["load"] - wall["read-and-load"]
    print(
        f"overlap: {saved:.2f} s, {saved / min(wall['read'], wall['load']):.0%} of the shorter half"
    )


def main() -> None:
    """Start the embedded servers where no address is given, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--source", help="SQL Server with the sample warehouse")
    parser.add_argument("--target", help="Postgres database; tables bench_* in public are replaced")
    parser.add_argument("--scale", type=float, default=16.6, help="sample scale; 16.6 is 1M rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        source, target = os.environ["TRANSHIP_BENCH_SOURCE"], os.environ["TRANSHIP_BENCH_TARGET"]
        print(json.dumps(measure(given.one, source, target, given.file)))
        return
    from standins.embedded import EmbeddedPostgres, EmbeddedSqlServer

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source, target = given.source, given.target
        if not source:
            server = EmbeddedSqlServer(directory / "sqlserver", sample=given.scale)
            source = stack.enter_context(server).url()
        if not target:
            postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
            target = postgres.create_database("bench")
        compare(source, target, given.rounds, directory / "rows.arrow")


if __name__ == "__main__":
    main()
