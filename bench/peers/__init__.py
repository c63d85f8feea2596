"""Who is measured, and how each is started. A way is one whole process that does a job and ends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.environments import OUR_OWN, pinned_version, python_of
from bench.source import address

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
TARGET_SCHEMA = "bench"


@dataclass(frozen=True, slots=True)
class Job:
    """What a way is to do. Programs get it as JSON in `TRANSHIP_BENCH_JOB`.

    Args:
        source: URL of the SQL Server.
        table: Table in its schema `dbo`.
        target: URL of the Postgres or Redshift database.
        target_table: Table in its schema `bench`.
        file: Arrow file with the rows, for ways that do not read from a server.
        directory: An empty place for what a tool keeps.
        settings: What only some sections need.
    """

    source: str = ""
    table: str = ""
    target: str = ""
    target_table: str = ""
    file: str = ""
    directory: str = ""
    settings: Mapping[str, str | int] = field(default_factory=dict)


Start = tuple[list[str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of doing a job.

    Args:
        key: Its name on the command line and in results.
        label: Its name for readers, without a version.
        peer: Whose environment it runs in.
        package: The package whose version is shown; empty for none.
        start: Makes command and environment variables of a job.
        limit: Whether it does only a part of the work.
        note: What a reader must know.
        settings: Merged into the job's.
    """

    key: str
    label: str
    peer: str
    package: str
    start: Callable[["Way", Job], Start]
    limit: bool = False
    note: str = ""
    settings: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Label and version."""
        if self.peer == OUR_OWN or not self.package:
            return self.label
        return f"{self.label} {pinned_version(self.peer, self.package)}"

    @property
    def target_table(self) -> str:
        """The table it writes, apart from everyone else's."""
        return self.key.replace("-", "_")

    def command(self, job: Job) -> Start:
        """Command and environment variables for a job."""
        return self.start(self, job)


def program(name: str, function: str) -> Callable[[Way, Job], Start]:
    """A way that is a function of a program in `bench/programs`."""

    def start(way: Way, job: Job) -> Start:
        settings = {**job.settings, **way.settings}
        sent = json.dumps({**asdict(job), "settings": settings})
        command = [str(python_of(way.peer)), str(PROGRAMS / f"{name}.py"), function]
        return command, {"TRANSHIP_BENCH_JOB": sent, **_QUIET}

    return start


def start_ingestr(way: Way, job: Job) -> Start:
    """Its command line, with its defaults."""
    binary = python_of(way.peer).with_name("ingestr")
    command = [str(binary), "ingest", "--yes", "--progress", "log", "--no-load-timestamp"]
    command += ["--source-table", f"dbo.{job.table}"]
    command += ["--dest-table", f"{TARGET_SCHEMA}.{job.target_table}"]
    addresses = {
        "SOURCE_URI": address(job.source, "mssql"),
        "DESTINATION_URI": job.target.replace("+psycopg2", "") + "?sslmode=disable",
    }
    return command, {**addresses, **_QUIET}


def start_sling(way: Way, job: Job) -> Start:
    """Its command line, with its defaults."""
    packages = python_of(way.peer).parent.parent / "lib"
    (binary,) = packages.glob("python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
    command = [str(binary), "run", "--src-conn", "BENCH_SOURCE", "--tgt-conn", "BENCH_TARGET"]
    command += ["--src-stream", f"dbo.{job.table}", "--mode", "full-refresh"]
    command += ["--tgt-object", f"{TARGET_SCHEMA}.{job.target_table}"]
    addresses = {
        "BENCH_SOURCE": address(job.source, "sqlserver"),
        "BENCH_TARGET": job.target.replace("+psycopg2", "") + "?sslmode=disable",
        "SLING_HOME_DIR": job.directory,
    }
    return command, {**addresses, **_QUIET}


_QUIET = {
    "INGESTR_DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}
"""Nobody is told about a measurement."""
