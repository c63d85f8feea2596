"""What a second processor is good for: the same work with one and with two, and by key ranges over several connections."""

from dataclasses import replace

from bench.environments import OUR_OWN
from bench.figures import Section
from bench.measuring import measure_ways
from bench.options import SHARES, Options
from bench.peers import Job, Way, program
from bench.rowfiles import write_rows
from bench.sections.sqlserver_to_postgres import PART_OF_STANDIN, checked
from bench.shapes import shape
from bench.systems import Systems

KEY = "cores"
PARTS = (1, 2, 4)


def measure(systems: Systems, options: Options) -> Section:
    """The wide table, whole and in parts, on one processor and on two; and the load half alone."""
    wide = shape("wide")
    rows = options.rows if systems.source_is_real else max(options.rows // PART_OF_STANDIN, 1)
    systems.source.fill(wide, rows)
    file = write_rows(wide, rows, systems.directory / "cores.arrows")
    section = Section(KEY, "Processors")
    section.circumstances = {
        "source": systems.describe_source(),
        "target": systems.describe_target(),
    }
    section.notes = [
        "The client is confined to so many processors; the servers run beside it on the same machine and are not."
    ]
    ways = [
        Way(
            "tranship" if parts == 1 else f"tranship-{parts}-parts",
            f"tranship, {parts} connection{'s' * (parts > 1)}",
            OUR_OWN,
            "",
            program("with_tranship", "copy_table"),
            settings={"parts": parts},
        )
        for parts in PARTS
    ]

    def job_of(way: Way) -> Job:
        return Job(
            source=systems.source.url,
            table=wide.table(rows),
            target=systems.target,
            target_table=f"{way.target_table}_cores",
        )

    for cpus in (1, 2):
        section.tables.append(
            measure_ways(
                f"{rows:,} rows, wide, SQL Server to Postgres, the client on {cpus} processor{'s' * (cpus > 1)}",
                ways,
                job_of,
                checked(systems.target, file.sent, "_cores"),
                replace(options, peers=frozenset({OUR_OWN})),
                rows=rows,
                share=SHARES[KEY] / 2,
                cpus=cpus,
            )
        )
    return section
