"""`python -m standins sample`: load the sample warehouse into a SQL Server."""

import argparse
import os
import time

import mssql_python
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from standins.sample.catalog import DEFAULT_SEED, sample_tables
from standins.sample.connect import connect_creating_database, parse_url
from standins.sample.loader import SampleLoader, SampleLoadError, TableLoad
from standins.sample.tables import SampleTable

PASSWORD_VARIABLE = "TRANSHIP_STANDIN_PASSWORD"


def main(argv: list[str]) -> int:
    """Load the tables; returns 0, or 1 with a message if that failed."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        url = parse_url(arguments.url, os.environ.get(PASSWORD_VARIABLE, ""))
        tables = sample_tables(arguments.scale, arguments.seed)
        connection = connect_creating_database(url)
        try:
            loader = SampleLoader(connection, replace=arguments.replace)
            _load(loader, tables, console)
        finally:
            connection.close()
    except (ValueError, SampleLoadError, mssql_python.Error) as error:
        console.print(f"The sample was not loaded: {error}", style="red", markup=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standins sample", description=__doc__)
    parser.add_argument(
        "--url",
        required=True,
        help="mssql+mssqlpython://USER:PASSWORD@HOST:PORT/DATABASE?Encrypt=no; "
        f"without a password in it, {PASSWORD_VARIABLE} is used; a missing database is created",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 60,398 sales lines")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="other seeds, other data")
    parser.add_argument("--replace", action="store_true", help="drop tables that are there")
    return parser


def _load(loader: SampleLoader, tables: tuple[SampleTable, ...], console: Console) -> None:
    progress = Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with progress:
        for table in tables:
            task = progress.add_task(table.name, total=table.rows)
            started = time.perf_counter()
            load = loader.load(table, lambda rows, task=task: progress.advance(task, rows))
            seconds = time.perf_counter() - started
            console.print(_line(load, seconds), highlight=False)
    if loader.no_bulk_copy_because:
        reason = loader.no_bulk_copy_because
        console.print(f"Rows were inserted; bulk copy is not available ({reason}).", markup=False)


def _line(load: TableLoad, seconds: float) -> str:
    line = f"{load.table:<24}{load.rows:>12,} rows  {load.method}"
    return line if load.method == "already there" else f"{line}, {seconds:.1f} s"
