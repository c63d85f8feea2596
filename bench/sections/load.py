"""The load half alone: Arrow batches from a file into Postgres."""

from bench.figures import Section
from bench.measuring import measure_ways
from bench.options import SHARES, Options
from bench.peers import Job, Way
from bench.peers.ways import LOAD_POSTGRES
from bench.rowfiles import prepare_limits, write_rows
from bench.sections.sqlserver_to_postgres import checked
from bench.shapes import SHAPES
from bench.systems import Systems

KEY = "load"
SLOW_WAYS = frozenset({"pandas", "dlt"})
"""They take minutes for a million rows, and are measured with a twentieth of them."""
PART = 20


def measure(systems: Systems, options: Options) -> Section:
    """Each shape at the large size; the wide one at a twentieth of it with everyone."""
    section = Section(KEY, "Arrow to Postgres, the load half")
    section.circumstances = {"target": systems.describe_target()}
    target = systems.target
    shapes = [one for one in SHAPES if not options.shapes or one.name in options.shapes]
    share = SHARES[KEY] / (len(shapes) + 1)
    for shape in shapes:
        small = shape is SHAPES[0] and not options.large_only
        for asked in [options.rows // PART, options.rows] if small else [options.rows]:
            rows = shape.rows(asked)
            file = write_rows(shape, rows, systems.directory / f"{shape.name}.arrows")
            settings = prepare_limits(file, target)
            suffix = f"_load_{shape.name}"

            def job_of(
                way: Way,
                path: str = str(file.path),
                given: dict[str, str] = settings,
                suffix: str = suffix,
            ) -> Job:
                table = f"{way.target_table}{suffix}"
                return Job(target=target, target_table=table, file=path, settings=given)

            everyone = asked < options.rows
            ways = [way for way in LOAD_POSTGRES if everyone or way.key not in SLOW_WAYS]
            table = measure_ways(
                f"{rows:,} rows, {shape.name}",
                ways,
                job_of,
                checked(target, file.sent, suffix),
                options,
                rows=rows,
                share=share,
            )
            if not everyone:
                table.note = (
                    "dlt and `to_sql` take minutes here and are in the table of fewer rows."
                )
            section.tables.append(table)
    return section
