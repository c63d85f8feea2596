"""The systems of the demo: started side by side, described to Dagster by environment variables."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from standins.embedded import (
    EmbeddedError,
    EmbeddedPostgres,
    EmbeddedRedshift,
    EmbeddedS3,
    EmbeddedSqlServer,
)

AWS_HOOK = Path(__file__).parents[1] / "init" / "ready.d" / "10_resources.py"
STAGING_BUCKET = "tranship-staging"
# moto's account; a role's ARN must be one that exists.
ROLE = "arn:aws:iam::123456789012:role/tranship-redshift"

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
        postgres: The embedded Postgres: Dagster's storage, the warehouse, and what the Redshift
            stand-in stands on.
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
    s3 = EmbeddedS3(directory / "s3")
    with ExitStack() as stack:
        for system in (postgres, sqlserver, s3):
            stack.callback(system.stop)
        with (
            console.status("Starting Postgres, S3 and the stand-ins ..."),
            ThreadPoolExecutor() as threads,
        ):
            sqlserver_started = threads.submit(sqlserver.start)
            s3_started = threads.submit(s3.start)
            threads.submit(_import_ahead)
            postgres.start()
            urls = {
                name: postgres.create_database(name) for name in ("dagster", "warehouse", "dev")
            }
            s3_started.result()
            aws_made = threads.submit(_make_aws_resources, s3)
            redshift = EmbeddedRedshift(directory / "redshift", urls["dev"], s3.endpoint)
            stack.callback(redshift.stop)
            redshift.start()
            aws_made.result()
            sqlserver_started.result()
        for line in (
            f"Postgres on 127.0.0.1:{postgres.port}",
            f"SQL Server stand-in on 127.0.0.1:{sqlserver.port}, sample warehouse at scale {scale:g}",
            f"S3 and IAM (moto) on 127.0.0.1:{s3.port}, Redshift stand-in on 127.0.0.1:{redshift.port}",
        ):
            console.print(f"[green]✓[/] {line}", highlight=False)
        environment = {
            **_environment(directory, postgres, sqlserver),
            **s3.environment(),
            "TRANSHIP_REDSHIFT_HOST": "127.0.0.1",
            "TRANSHIP_REDSHIFT_PORT": str(redshift.port),
        }
        yield Systems(postgres, sqlserver, environment)


def _import_ahead() -> None:
    """Import what the code location will need, while the systems start: two seconds of the demo.

    An import that fails here fails again where it is needed, and is told there.
    """
    for module in (
        "dagster",
        "polars",
        "tranship.sqlserver.resource",
        "tranship.redshift.io_manager",
    ):
        importlib.import_module(module)


def _make_aws_resources(s3: EmbeddedS3) -> None:
    """Make in moto what LocalStack's hook makes in the stack."""
    hook = subprocess.run(
        [sys.executable, str(AWS_HOOK)],
        env={**os.environ, **s3.environment(), "TRANSHIP_BUCKETS": STAGING_BUCKET},
        capture_output=True,
        text=True,
        check=False,
    )
    if hook.returncode:
        raise EmbeddedError(
            f"{AWS_HOOK.name} could not make the bucket and the role:\n{hook.stderr}"
        )


def _environment(
    directory: Path, postgres: EmbeddedPostgres, sqlserver: EmbeddedSqlServer
) -> dict[str, str]:
    home = directory.resolve() / "dagster_home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER_YAML)
    return {
        "DAGSTER_HOME": str(home),
        "TRANSHIP_DEMO_STORAGE_URL": postgres.url("dagster"),
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
        # Temporary credentials of this cluster's record, fetched for each connection.
        "TRANSHIP_REDSHIFT_CLUSTER": "tranship",
        "TRANSHIP_REDSHIFT_DATABASE": "dev",
        "TRANSHIP_REDSHIFT_USER": "postgres",
        "TRANSHIP_REDSHIFT_IAM_ROLE": ROLE,
        "TRANSHIP_REDSHIFT_STAGING_URI": f"s3://{STAGING_BUCKET}/tranship",
        "TRANSHIP_SPOOL_URI": str(directory.resolve() / "spool"),
        "PATH": os.environ.get("PATH", ""),
    }
