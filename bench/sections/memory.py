"""How much memory the same work takes with more rows: as much."""

from collections.abc import Callable
from dataclasses import replace

from bench.environments import OUR_OWN
from bench.figures import Section, Table
from bench.fingerprint import of_table, verdict
from bench.measuring import measure_ways
from bench.options import SHARES, Options
from bench.peers import TARGET_SCHEMA, Job, Way, program
from bench.process import Usage
from bench.rowfiles import RowFile, write_rows
from bench.sections.redshift import warehouse_job
from bench.sections.sqlserver_to_postgres import PART_OF_STANDIN
from bench.shapes import shape
from bench.systems import Systems

KEY = "memory"
FACTORS = (1, 4, 16)


def measure(systems: Systems, options: Options) -> Section:
    """Three directions at one, four and sixteen times the rows."""
    section = Section(KEY, "Memory")
    section.circumstances = {
        "source": systems.describe_source(),
        "target": systems.describe_target(),
    }
    wide = shape("wide")
    from_source = (
        options.rows if systems.source_is_real else max(options.rows // PART_OF_STANDIN, 1)
    )
    systems.source.fill(wide, from_source)
    target = systems.target

    def copied(file: RowFile) -> Job:
        limited = {"most_rows": file.rows}
        table = wide.table(from_source)
        return Job(source=systems.source.url, table=table, target=target, settings=limited)

    def loaded(file: RowFile) -> Job:
        return Job(target=target, file=str(file.path))

    def published(file: RowFile) -> Job:
        return warehouse_job(systems, file=str(file.path))

    section.tables = [
        _direction(systems, options, "SQL Server to Postgres", "copy_table", from_source, copied),
        _direction(systems, options, "Arrow to Postgres", "load", options.rows, loaded),
        _direction(systems, options, "Arrow to Redshift", "publish", options.rows, published),
    ]
    return section


def _direction(
    systems: Systems,
    options: Options,
    title: str,
    function: str,
    most: int,
    job_of_file: Callable[[RowFile], Job],
) -> Table:
    wide = shape("wide")
    files: dict[str, RowFile] = {}
    ways: list[Way] = []
    for factor in FACTORS:
        rows = max(most * factor // FACTORS[-1], 1)
        way = Way(
            f"tranship-{function}-{rows}",
            f"{factor}x: {rows:,} rows",
            OUR_OWN,
            "",
            program("with_tranship", function),
        )
        ways.append(way)
        files[way.key] = write_rows(wide, rows, systems.directory / f"memory-{rows}.arrows")

    def job_of(way: Way) -> Job:
        return replace(job_of_file(files[way.key]), target_table=way.target_table)

    def check(way: Way, used: Usage) -> str:
        del used
        sent = files[way.key].sent
        return verdict(sent, of_table(job_of(way).target, TARGET_SCHEMA, way.target_table, sent))

    return measure_ways(title, ways, job_of, check, options, rows=most, share=SHARES[KEY] / 3)
