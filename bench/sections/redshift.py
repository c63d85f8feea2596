"""Arrow to Redshift by way of S3, and back: against the Redshift stand-in and moto, whose time is in every wall time."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import boto3

from bench.environments import OUR_OWN
from bench.figures import RIGHT, Section, Table
from bench.fingerprint import of_table, verdict
from bench.measuring import measure_ways
from bench.options import SHARES, Options
from bench.peers import TARGET_SCHEMA, Job, Way, program
from bench.peers.ways import PUBLISH_REDSHIFT, READ_REDSHIFT
from bench.process import Usage, resident_bytes, run_measured
from bench.rowfiles import RowFile, write_rows
from bench.shapes import Shape, shape
from bench.systems import BUCKET, Systems

KEY = "redshift"
PART = 4
"""The stand-in's COPY takes most of the time, so it gets a quarter of the rows."""
MANIFEST = "limit.manifest"
TABLE_TO_READ = "tranship_redshift"


def measure(systems: Systems, options: Options) -> Section:
    """Publishing the wide table, and reading it back."""
    rows = max(options.rows // PART, 1)
    wide = shape("wide")
    file = write_rows(wide, rows, systems.directory / "redshift.arrows")
    section = Section(KEY, "Arrow to Redshift, and back")
    section.circumstances = {
        "warehouse": "the Redshift stand-in in front of an embedded PostgreSQL; S3 by moto"
    }
    section.notes = [
        "Wall times include the stand-in's COPY and UNLOAD, which are not Redshift's. Client CPU and memory are what "
        "carries over."
    ]
    with tempfile.TemporaryDirectory() as place:
        staged = Path(place) / "staged"
        job = warehouse_job(
            systems, file=str(file.path), ddl=_ddl(wide), staged=str(staged), manifest=MANIFEST
        )
        _stage_once(job, staged, options)
        section.tables.append(_publish(systems, options, file, job))
    section.tables.append(_read(systems, options, file))
    _, most = resident_bytes(systems.warehouse.pid)
    section.notes.append(f"The stand-in's gateway took {most / 1e6:,.0f} MB at most.")
    return section


def warehouse_job(
    systems: Systems, *, target_table: str = "", file: str = "", **settings: str
) -> Job:
    """A job for the Redshift stand-in."""
    warehouse = systems.warehouse
    given = {"endpoint": warehouse.endpoint, "bucket": BUCKET, "role": warehouse.role, **settings}
    return Job(target=warehouse.url, target_table=target_table, file=file, settings=given)


def _publish(systems: Systems, options: Options, file: RowFile, job: Job) -> Table:
    def check(way: Way, used: Usage) -> str:
        del used
        if way.key in {"limit-parquet", "limit-upload"}:
            return RIGHT
        table = f"{way.target_table}_redshift"
        found = of_table(systems.warehouse.url, TARGET_SCHEMA, table, file.sent)
        return verdict(file.sent, found)

    return measure_ways(
        f"{file.rows:,} rows, wide, Arrow to Redshift",
        PUBLISH_REDSHIFT,
        lambda way: replace(job, target_table=f"{way.target_table}_redshift"),
        check,
        options,
        rows=file.rows,
        share=SHARES[KEY] / 2,
    )


def _read(systems: Systems, options: Options, file: RowFile) -> Table:
    job = warehouse_job(systems)

    def check(way: Way, used: Usage) -> str:
        if way.limit:
            return RIGHT
        read = int(used.output.split()[-1])
        return RIGHT if read == file.rows else f"wrong: {read:,} rows instead of {file.rows:,}"

    return measure_ways(
        f"{file.rows:,} rows, wide, Redshift to a pandas frame",
        READ_REDSHIFT,
        lambda _: replace(job, table=TABLE_TO_READ),
        check,
        options,
        rows=file.rows,
        share=SHARES[KEY] / 2,
    )


def _stage_once(job: Job, staged: Path, options: Options) -> None:
    """Have the rows as Parquet in a file and in S3, for the limits that only upload and only load."""
    way = Way(
        "parquet", "", OUR_OWN, "", program("limits", "parquet"), settings={"keep": str(staged)}
    )
    command, environment = way.command(job)
    used = run_measured(command, environment, timeout_seconds=options.timeout_seconds)
    if used.returncode:
        raise RuntimeError(f"Encoding Parquet failed: {used.errors}")
    body = staged.read_bytes()
    client = boto3.client("s3")
    client.put_object(Bucket=BUCKET, Key="limit.parquet", Body=body)
    entry = {
        "url": f"s3://{BUCKET}/limit.parquet",
        "mandatory": True,
        "meta": {"content_length": len(body)},
    }
    client.put_object(Bucket=BUCKET, Key=MANIFEST, Body=json.dumps({"entries": [entry]}))


def _ddl(wide: Shape) -> str:
    """The table that the article has made by hand; Redshift counts a text's width in bytes."""
    types = {
        "tinyint": "smallint",
        "money": "numeric(19,4)",
        "float": "float8",
        "datetime": "timestamp",
        "nvarchar(20)": "varchar(80)",
        "nvarchar(25)": "varchar(100)",
    }
    columns = ", ".join(f"{name} {types.get(type_, type_)}" for name, type_, _ in wide.columns)
    return f"create table if not exists {{table}} ({columns})"
