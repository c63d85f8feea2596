"""`python -m standins sqlserver`: runs the stand-in until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from standins.sqlserver.standin import SqlServerStandin

PASSWORD_VARIABLE = "TRANSHIP_STANDIN_PASSWORD"
PARENT_POLL_SECONDS = 0.5


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m standins sqlserver",
        description="A stand-in for SQL Server, for demos and tests only.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=1433, help="port; 0 takes any free one (default: %(default)s)"
    )
    parser.add_argument("--user", default="sa", help="the one login (default: %(default)s)")
    parser.add_argument(
        "--password",
        help=f"its password; better given in ${PASSWORD_VARIABLE}, where `ps` does not show it",
    )
    parser.add_argument(
        "--database", default="AdventureWorksDW", help="name of the database (default: %(default)s)"
    )
    parser.add_argument(
        "--sample",
        type=float,
        metavar="SCALE",
        help="load the generated sample warehouse at this scale",
    )
    parser.add_argument(
        "--sample-seed", type=int, default=0, help="seed of the sample (default: %(default)s)"
    )
    parser.add_argument(
        "--path", type=Path, help="DuckDB file to keep the data in (default: memory)"
    )
    parser.add_argument(
        "--tls-certificate", type=Path, help="PEM certificate (default: a self-signed one)"
    )
    parser.add_argument("--tls-key", type=Path, help="PEM key of the certificate")
    parser.add_argument(
        "--ready-file", type=Path, help='written once it listens: {"host": ..., "port": ...}'
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="end when the process that started this one ends",
    )
    return parser


async def _follow_parent(server: SqlServerStandin, parent: int) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_SECONDS)
    server.request_stop()


async def _serve(server: SqlServerStandin, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.request_stop)
    follower = (
        asyncio.create_task(_follow_parent(server, os.getppid()))
        if options.exit_with_parent
        else None
    )

    def announce() -> None:
        address = {"host": server.host, "port": server.port}
        sys.stdout.write(
            f"SQL Server stand-in (not SQL Server; for demos and tests only) listens on {server.host}:{server.port}, "
            f"database {server.database}, user {options.user}\n"
        )
        sys.stdout.flush()
        if options.ready_file:
            # Renamed into place, so that nobody reads half of it.
            partial = options.ready_file.with_name(options.ready_file.name + ".partial")
            partial.write_text(json.dumps(address))
            partial.replace(options.ready_file)

    try:
        await server.serve(announce)
    finally:
        if follower is not None:
            follower.cancel()


def load_sample(server: SqlServerStandin, scale: float, seed: int) -> int:
    """Creates and fills the sample's tables that are not there yet; returns the number of rows."""
    from standins.sample import sample_tables  # pyright: ignore

    rows = 0
    for table in sample_tables(scale, seed):
        server.execute(table.ddl)
        rows += server.load(f"dbo.{table.name}", table.batches())
    return rows


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _arguments().parse_args(argv)
    password = options.password or os.environ.get(PASSWORD_VARIABLE)
    if not password:
        sys.stderr.write(f"give a password with --password or in ${PASSWORD_VARIABLE}\n")
        return 2
    if (options.tls_certificate is None) != (options.tls_key is None):
        sys.stderr.write("--tls-certificate and --tls-key go together\n")
        return 2
    server = SqlServerStandin(
        password=password,
        user=options.user,
        database=options.database,
        host=options.host,
        port=options.port,
        path=options.path,
        certificate=options.tls_certificate,
        key=options.tls_key,
    )
    try:
        if options.sample is not None:
            load_sample(server, options.sample, options.sample_seed)
        asyncio.run(_serve(server, options))
    except OSError as failure:
        sys.stderr.write(
            f"the stand-in cannot listen on {options.host}:{options.port}: {failure}\n"
        )
        return 1
    finally:
        server.stop()
    return 0
