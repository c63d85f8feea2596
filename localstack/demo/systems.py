"""The systems of the demo: started side by side, described to Dagster by environment variables."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from standins.embedded import EmbeddedPostgres, EmbeddedSqlServer

DAGSTER_YAML = """\
# Written by the demo; runs and logs are kept in the embedded Postgres between demos.
telemetry:
  enabled: false
nux:
  enabled: false
storage:
  postgres:
    postgres_url:
      env: TRANSHIP_DEMO_STORAGE_URL
"""


@dataclass(frozen=True, slots=True)
class Systems:
    """What runs, for whoever wants to connect by hand.

    Args:
        postgres: The embedded Postgres: Dagster's storage, and the warehouse.
        sqlserver: The SQL Server stand-in with the sample warehouse.
        environment: Variables that tell the code location where they are.
    """

    postgres: EmbeddedPostgres
    sqlserver: EmbeddedSqlServer
    environment: Mapping[str, str]


@contextmanager
def running_systems(directory: Path, *, scale: float, console: Console) -> Iterator[Systems]:
    """Start every system of the demo, and stop them all in the end, whatever happens in between.

    Args:
        directory: Where their data and logs are kept; the Postgres in it is used again.
        scale: Scale of the sample warehouse; 1 is 60,398 fact rows.
        console: Where progress is shown.

    Raises:
        EmbeddedError: One of them did not start; the message has the end of its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(directory / "postgres")
    sqlserver = EmbeddedSqlServer(directory / "sqlserver", sample=scale)
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        stack.callback(sqlserver.stop)
        with (
            console.status("Starting Postgres and the SQL Server stand-in ..."),
            ThreadPoolExecutor() as threads,
        ):
            starting = [threads.submit(system.start) for system in (postgres, sqlserver)]
            for start in starting:
                start.result()
            storage_url = postgres.create_database("dagster")
            postgres.create_database("warehouse")
        console.print(f"[green]✓[/] Postgres on 127.0.0.1:{postgres.port}")
        console.print(
            f"[green]✓[/] SQL Server stand-in on 127.0.0.1:{sqlserver.port}, sample warehouse at scale {scale:g}"
        )
        yield Systems(
            postgres, sqlserver, _environment(directory, postgres, sqlserver, storage_url)
        )


def _environment(
    directory: Path, postgres: EmbeddedPostgres, sqlserver: EmbeddedSqlServer, storage_url: str
) -> dict[str, str]:
    home = directory.resolve() / "dagster_home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER_YAML)
    return {
        "DAGSTER_HOME": str(home),
        "TRANSHIP_DEMO_STORAGE_URL": storage_url,
        "TRANSHIP_POSTGRES_HOST": "127.0.0.1",
        "TRANSHIP_POSTGRES_PORT": str(postgres.port),
        "TRANSHIP_POSTGRES_DATABASE": "warehouse",
        "TRANSHIP_POSTGRES_USER": "postgres",
        "TRANSHIP_POSTGRES_PASSWORD": postgres.password,
        "TRANSHIP_SQLSERVER_HOST": "127.0.0.1",
        "TRANSHIP_SQLSERVER_PORT": str(sqlserver.port),
        "TRANSHIP_SQLSERVER_DATABASE": "AdventureWorksDW",
        "TRANSHIP_SQLSERVER_USER": "sa",
        "TRANSHIP_SQLSERVER_PASSWORD": sqlserver.password,
        # The stand-in's certificate is its own.
        "TRANSHIP_SQLSERVER_TRUST_CERTIFICATE": "yes",
        "TRANSHIP_SPOOL_URI": str(directory.resolve() / "spool"),
        "PATH": os.environ.get("PATH", ""),
    }
