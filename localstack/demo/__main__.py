"""`python -m demo run`: move the sample warehouse. `python -m demo ui`: keep it running, with the UI."""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from demo.report import show
from demo.runs import FinishedRun, run_job
from demo.systems import Systems, running_systems
from standins.embedded import EmbeddedError, GuardedProcess

JOBS = {
    "run_etl_job": {},
    "staging_job": {},
    # All months of the sample as one range: one run, one COPY.
    "sales_job": {
        "dagster/asset_partition_range_start": "2010-12-01",
        "dagster/asset_partition_range_end": "2014-01-01",
    },
}
"""The jobs that the demo runs, and the tags of each run."""
UI_SECONDS = 180.0
REPORT_COLUMNS = 100


def main(arguments: Sequence[str]) -> int:
    """Run the demo; returns the process exit code."""
    options = _parser().parse_args(arguments)
    console = _console()
    # A supervisor's SIGTERM ends the demo like Ctrl-C does: every system is stopped. A shell script
    # that starts us with & would have us ignore Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with running_systems(options.directory, scale=options.scale, console=console) as systems:
            os.environ.update(systems.environment)
            if options.verb == "ui":
                return _serve_ui(systems, options.directory, options.port, console)
            return _run(systems, console)
    except EmbeddedError as error:
        console.print(f"[red]✗[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print(
            "Stopped. Tables are as the last finished load left them; nothing keeps running."
        )
        return 130


def _console() -> Console:
    """A console as wide as the report; a pipe or a log file has no width of its own."""
    console = Console()
    return console if console.is_terminal else Console(width=REPORT_COLUMNS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("verb", choices=("run", "ui"), help="run the jobs once, or serve the UI")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(".demo"),
        help="where data and logs are kept (default: .demo)",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="size of the sample; 1 is 60,398 sales (default: 1)",
    )
    parser.add_argument("--port", type=int, default=3000, help="the UI's port (default: 3000)")
    return parser


def _run(systems: Systems, console: Console) -> int:
    started = time.monotonic()
    with console.status("Loading the code location ..."):
        # Here, not above: Dagster takes a second to import, and Ctrl-C should work before that.
        import dagster as dg

        from demo.second_round import second_round, show_second_round
        from etl.definitions import defs

        definitions = defs()
        repository = definitions.get_repository_def()
    console.print("[green]✓[/] Code location loaded")
    with dg.DagsterInstance.get() as instance:
        runs: list[FinishedRun] = [
            run_job(repository.get_job(name), instance, console, tags=tags)
            for name, tags in JOBS.items()
        ]
        show(runs, console)
        if all(run.success for run in runs):
            second = second_round(repository, instance, systems.sqlserver.url(), console)
            show_second_round(second, console)
            runs += second.runs
    _next_steps(console)
    moved = sum(table.rows for run in runs for table in run.tables)
    console.print(
        f"\n{moved:,} rows in {time.monotonic() - started:.1f} s, start of the systems not counted."
    )
    return 0 if all(run.success for run in runs) else 1


def _next_steps(console: Console) -> None:
    console.print(
        "\nThe SQL Server and the Redshift are stand-ins, for demos and tests only; their clients are real.\n"
        "Try next:\n"
        "  make demo   again: the same tables, brought up to date\n"
        "  make ui     these runs, their logs and the assets in the browser\n"
        "  README.md   'Your own SQL Server': the same with your tables",
        highlight=False,
    )


def _serve_ui(systems: Systems, directory: Path, wanted_port: int, console: Console) -> int:
    port = _free_port(wanted_port)
    log = directory.resolve() / "ui.log"
    command = [sys.executable, "-m", "tranship.webserver", "dev", "-m", "etl.definitions"]
    server = GuardedProcess(
        "The Dagster UI",
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        log=log,
        stop_signal=signal.SIGINT,
    ).start()
    try:
        with console.status("Starting the Dagster UI ..."):
            server.wait_until(lambda: _answers(port), UI_SECONDS)
        console.print(f"[green]✓[/] Dagster UI on [bold]http://127.0.0.1:{port}[/] (log: {log})")
        console.print(
            f'  The warehouse in psql: [bold]psql "$(cat {_url_file(systems, directory)})"[/]'
        )
        console.print("Ctrl-C ends everything.")
        while server.exit_code() is None:
            time.sleep(0.5)
        raise server.error("ended by itself")
    finally:
        server.stop()


def _url_file(systems: Systems, directory: Path) -> Path:
    """A file that only we can read holds the address with its password; a terminal is scrolled back."""
    file = directory / "warehouse-url"
    file.touch(mode=0o600)
    file.write_text(systems.postgres.url("warehouse").replace("+psycopg2", ""))
    return file


def _free_port(wanted: int) -> int:
    """The wanted port, or another one if something listens there already."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise EmbeddedError("No port is free on 127.0.0.1.")


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
