"""SQL Server to Postgres: tables of four shapes, from the source's first byte to Postgres's commit."""

import psycopg2

from bench.figures import RIGHT, Section, Table
from bench.fingerprint import Fingerprint, of_table, verdict
from bench.measuring import Check, measure_ways, shortened
from bench.options import SHARES, SMALL_ROWS, Options
from bench.peers import TARGET_SCHEMA, Job, Way
from bench.peers.ways import COPY_TO_POSTGRES
from bench.process import Usage
from bench.rowfiles import prepare_limits, write_rows
from bench.shapes import SHAPES, Shape
from bench.systems import Systems
from standins.sample.connect import parse_url

KEY = "sqlserver-to-postgres"
PART_OF_STANDIN = 20
"""The stand-in takes most of the time itself, so it gets a twentieth of the rows."""


def measure(systems: Systems, options: Options) -> Section:
    """All shapes at the large size, the wide one at the small size too."""
    large = options.rows if systems.source_is_real else max(options.rows // PART_OF_STANDIN, 1)
    section = Section(KEY, "SQL Server to Postgres")
    section.circumstances = {
        "source": systems.describe_source(),
        "target": systems.describe_target(),
    }
    shapes = [one for one in SHAPES if not options.shapes or one.name in options.shapes]
    work = [(shape, large) for shape in shapes]
    if SHAPES[0] in shapes and large > SMALL_ROWS and not options.large_only:
        work.insert(0, (SHAPES[0], SMALL_ROWS))
    share = SHARES[KEY] / len(work)
    section.tables = [_table(systems, options, shape, rows, share) for shape, rows in work]
    return section


def _table(systems: Systems, options: Options, shape: Shape, asked: int, share: float) -> Table:
    rows = shape.rows(asked)
    systems.source.fill(shape, rows)
    file = write_rows(shape, rows, systems.directory / f"{shape.name}.arrows")
    settings = prepare_limits(file, systems.target)
    source = systems.source.url
    server = parse_url(source)
    settings["odbc"] = server.connection_string(server.database)

    def job_of(way: Way) -> Job:
        return Job(
            source=source,
            table=shape.table(rows),
            target=systems.target,
            target_table=f"{way.target_table}_{shape.name}",
            file=str(file.path),
            settings=settings,
        )

    return measure_ways(
        f"{rows:,} rows, {shape.name} ({shape.meaning})",
        COPY_TO_POSTGRES,
        job_of,
        checked(systems.target, file.sent, f"_{shape.name}"),
        options,
        rows=rows,
        share=share,
    )


def checked(target: str, sent: Fingerprint, suffix: str = "") -> Check:
    """Compares the table that a way left in the target with what was sent."""

    def check(way: Way, used: Usage) -> str:
        if way.key == "limit-drain" and int(used.output) != sent.rows:
            return f"wrong: {used.output.strip()} rows"
        if way.limit and way.key != "limit-copy":
            return RIGHT
        try:
            arrived = of_table(target, TARGET_SCHEMA, way.target_table + suffix, sent)
        except psycopg2.Error as error:
            return f"wrong: {shortened(str(error))}"
        return verdict(sent, arrived)

    return check
