"""The load half: Arrow batches into Postgres, ours against the ways others go.

The rows are those of FactInternetSales (26 columns), written once to an Arrow file. Every run is a process
of its own that reads that file, so that memory and CPU are the client's alone; the ways take turns. After
each run the table is counted and summed on the server and compared with the file; a wrong table ends the
measurement. Without an address an embedded Postgres is started.

    .venv/bin/uv pip install -r bench/requirements.in
    .venv/bin/python bench/postgres_load.py --rows 1000000 --rounds 3
    .venv/bin/python bench/postgres_load.py --rows 4000000 --rounds 1 --ways tranship-binary tranship-csv
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc

WAYS = ("tranship-binary", "tranship-csv", "adbc", "to_csv-copy", "to_sql")
ROWS_OF_TO_SQL = 50_000
"""`to_sql` gets this many rows and is scaled by row: a million takes it minutes."""
ROWS_PER_BATCH = 65_536
TABLE = "bench_load"


def batches_of(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """The file's batches, read as they are asked for."""
    left = rows
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            if left <= 0:
                break
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)


def schema_of(file: Path) -> pa.Schema:
    """The schema of the file's batches."""
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as reader:
        return reader.schema


def load(way: str, url: str, file: Path, rows: int) -> dict[str, float]:
    """One run in this process: seconds, client CPU seconds, peak memory. Imports are not counted."""
    plain = url.replace("+psycopg2", "")
    if way.startswith("tranship"):
        from tranship.frames import Batches
        from tranship.postgres.connection import PostgresSettings
        from tranship.postgres.encoding import Encoder
        from tranship.postgres.writer import write
        from tranship.tables import TableName
        from tranship.writes import WriteRequest

        settings = PostgresSettings.from_url(url)
        batches = Batches(schema_of(file), lambda: batches_of(file, rows))
        encoder = Encoder(way.removeprefix("tranship-"))

        def run() -> None:
            write(settings, WriteRequest(TableName("public", TABLE)), batches, encoder=encoder)

    elif way == "adbc":
        from adbc_driver_postgresql import dbapi  # pyright: ignore[reportMissingImports]

        def run() -> None:
            reader = pa.RecordBatchReader.from_batches(schema_of(file), batches_of(file, rows))
            with dbapi.connect(plain) as connection, connection.cursor() as cursor:
                cursor.adbc_ingest(TABLE, reader, mode="replace")
                connection.commit()

    else:
        import sqlalchemy as sa

        # Making the frame is not counted against them, but its memory is.
        frame = pa.Table.from_batches(list(batches_of(file, rows))).to_pandas()

        def run() -> None:
            engine = sa.create_engine(url)
            if way == "to_sql":
                frame.to_sql(TABLE, engine, if_exists="replace", index=False)
                return
            frame.head(0).to_sql(TABLE, engine, if_exists="replace", index=False)
            text = io.StringIO()
            frame.to_csv(text, index=False, header=False)
            text.seek(0)
            with psycopg2.connect(plain) as connection, connection.cursor() as cursor:
                cursor.copy_expert(f"copy {TABLE} from stdin with (format csv)", text)

    before, started = time.process_time(), time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - before,
        "peak_mb": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """The most memory this program has held; what `getrusage` says may be its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def expected(file: Path, rows: int) -> tuple[int, Decimal, int, int]:
    """Count and three sums over the rows of the file."""
    count, money, quantity, keys = 0, Decimal(0), 0, 0
    for batch in batches_of(file, rows):
        count += batch.num_rows
        money += pc.sum(batch["SalesAmount"].cast(pa.decimal128(38, 4))).as_py()
        quantity += pc.sum(batch["OrderQuantity"]).as_py()
        keys += pc.sum(batch["ProductKey"]).as_py() + batch["CarrierTrackingNumber"].null_count
    return count, money, quantity, keys


def found(url: str) -> tuple[int, Decimal, int, int]:
    """The same of the table on the server."""
    with (
        psycopg2.connect(url.replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            f'select count(*), sum("SalesAmount"::numeric(19,4)), sum("OrderQuantity")::bigint, '
            f'sum("ProductKey")::bigint + count(*) filter (where "CarrierTrackingNumber" is null) from {TABLE}'
        )
        count, money, quantity, keys = cursor.fetchone() or (0, Decimal(0), 0, 0)
    return count, money, quantity, keys


def drop(url: str) -> None:
    """Remove the table, so that each way makes its own."""
    with (
        psycopg2.connect(url.replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"drop table if exists {TABLE}")


def prepare(file: Path, rows: int) -> None:
    """Write the rows to measure with."""
    from standins.sample import sample_tables

    (fact,) = [table for table in sample_tables() if table.name == "FactInternetSales"]
    once = pa.Table.from_batches(list(fact.batches()), schema=fact.schema)
    copies = -(-rows // once.num_rows)
    many = pa.concat_tables([once] * copies).slice(0, rows)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, many.schema) as writer:
        writer.write_table(many.combine_chunks(), max_chunksize=ROWS_PER_BATCH)


def compare(url: str, file: Path, ways: list[str], rows: int, rounds: int) -> None:
    """Run the ways in turns and print what each took."""
    results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            sent = min(rows, ROWS_OF_TO_SQL) if way == "to_sql" else rows
            # Ours replaces a table that is there, swap and statistics included: its everyday case.
            if not way.startswith("tranship"):
                drop(url)
            elif found_nothing(url):
                run_one("tranship-binary", url, file, 1)
            measured = run_one(way, url, file, sent)
            if (there := found(url)) != (wanted := expected(file, sent)):
                raise SystemExit(f"{way} loaded {there}, but the file holds {wanted}.")
            scale = rows / sent
            measured["seconds"] *= scale
            measured["cpu_seconds"] *= scale
            results[way].append(measured)
            if not way.startswith("tranship"):
                drop(url)
    print(f"{rows:,} rows x 26 columns, median of {rounds}, tables checked after each run")
    print(f"{'way':<18}{'wall s':>9}{'client cpu s':>14}{'peak MB':>9}   runs (wall s)")
    for way, measured in results.items():
        middle = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
        runs = " ".join(f"{one['seconds']:.2f}" for one in measured)
        note = f"   from {ROWS_OF_TO_SQL:,} rows, scaled by row" if way == "to_sql" else ""
        print(
            f"{way:<18}{middle['seconds']:>9.2f}{middle['cpu_seconds']:>14.2f}{middle['peak_mb']:>9.0f}   {runs}{note}"
        )


def found_nothing(url: str) -> bool:
    """Whether there is no table to replace."""
    with (
        psycopg2.connect(url.replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select to_regclass(%s) is null", (TABLE,))
        return (cursor.fetchone() or (True,))[0]


def run_one(way: str, url: str, file: Path, rows: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--run",
        way,
        "--url",
        url,
        "--file",
        str(file),
        "--rows",
        str(rows),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="postgresql+psycopg2://user:password@host:port/database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.run:
        print(json.dumps(load(options.run, options.url, options.file, options.rows)))
        return
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "rows.arrows"
        prepare(file, options.rows)
        if options.url:
            compare(options.url, file, options.ways, options.rows, options.rounds)
            return
        from standins.embedded import EmbeddedPostgres

        with EmbeddedPostgres(Path(directory) / "postgres") as server:
            compare(
                server.create_database("bench"), file, options.ways, options.rows, options.rounds
            )


if __name__ == "__main__":
    main()
