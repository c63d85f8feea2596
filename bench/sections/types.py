"""What becomes of 26 types on their way from SQL Server to Postgres, tool by tool."""

import tempfile
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from bench.environments import EnvironmentFailedError
from bench.figures import Section
from bench.fingerprint import plain
from bench.measuring import reason, shortened
from bench.options import Options
from bench.peers import TARGET_SCHEMA, Job, Way
from bench.peers.ways import COPY_TO_POSTGRES
from bench.process import run_measured
from bench.systems import Systems
from bench.types_table import CASES, CHANGED, EXACT, REFUSED, TypeCase, outcome

KEY = "types"
TABLE = "bench_types"
_TYPE_NAMES = {"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
               "time without time zone": "time", "character varying": "varchar", "character": "char"}  # fmt: skip
Found = dict[str, tuple[str, str]]


def measure(systems: Systems, options: Options) -> Section:
    """Each tool moves all columns at once; where it refuses, halves of them, down to the ones that it refuses."""
    section = Section(KEY, "Types: 26 of SQL Server's, in Postgres")
    section.circumstances = {
        "source": systems.describe_source(),
        "target": systems.describe_target(),
    }
    ways = [way for way in COPY_TO_POSTGRES if not way.limit and options.wants(way)]
    columns: dict[str, Found] = {}
    for way in ways:
        mover = _Mover(systems, options, way)
        columns[way.title] = found = mover.move(list(CASES))
        kept = sum(1 for verdict, _ in found.values() if verdict == EXACT)
        print(f"  {way.title}: {kept} of {len(CASES)} exact, {mover.runs} runs")
    section.grids.append(_grid(columns))
    return section


class _Mover:
    """One tool and its attempts at parts of the table."""

    def __init__(self, systems: Systems, options: Options, way: Way) -> None:
        self.runs = 0
        self._systems = systems
        self._options = options
        self._way = way

    def move(self, cases: list[TypeCase]) -> Found:
        """The outcome of each column."""
        table = f"{TABLE}_{self._way.target_table}_{self.runs}"
        sent = fill(self._systems, table, cases)
        refusal = self._run(table)
        if not refusal:
            return self._compare(table, cases, sent)
        if len(cases) == 1:
            return {cases[0].type: (REFUSED, refusal)}
        half = len(cases) // 2
        return {**self.move(cases[:half]), **self.move(cases[half:])}

    def _run(self, table: str) -> str:
        self.runs += 1
        with tempfile.TemporaryDirectory(prefix="tranship-bench-") as directory:
            job = Job(self._systems.source.url, table, self._systems.target, table, "", directory)
            try:
                command, environment = self._way.command(job)
            except EnvironmentFailedError as error:
                return str(error)
            used = run_measured(command, environment, timeout_seconds=self._options.timeout_seconds)
        if used.timed_out:
            return "not done in time"
        return reason(used) if used.returncode else ""

    def _compare(self, table: str, cases: list[TypeCase], sent: dict[str, list[Any]]) -> Found:
        found: Found = {}
        with closing(psycopg2.connect(plain(self._systems.target))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("set timezone to 'UTC'")
            cursor.execute(
                "select column_name, data_type from information_schema.columns "
                "where table_schema = %s and table_name = %s",
                (TARGET_SCHEMA, table),
            )
            types = {_bare(name): (name, type_) for name, type_ in cursor.fetchall()}
            order = sql.Identifier(types["id"][0])
            for case in cases:
                if _bare(case.column) not in types:
                    found[case.type] = (REFUSED, "the column was left out")
                    continue
                name, type_ = types[_bare(case.column)]
                statement = sql.SQL("select {} from {} order by {}").format(
                    sql.Identifier(name), sql.Identifier(TARGET_SCHEMA, table), order
                )
                try:
                    cursor.execute(statement)
                    values = [row[0] for row in cursor.fetchall()]
                except (psycopg2.Error, ValueError, OverflowError) as error:
                    # Python's dates end with the year 9999 and begin with 1.
                    found[case.type] = (CHANGED, f"no date of Python's: {shortened(str(error))}")
                    continue
                short = str(_TYPE_NAMES.get(type_, type_))
                found[case.type] = outcome(case, short, sent[case.type], values)
        return found


def fill(systems: Systems, table: str, cases: list[TypeCase]) -> dict[str, list[Any]]:
    """Make a table of some of the types: a low value, a high one, and null. Gives what is in it."""
    source = systems.source
    source.remember(table)
    columns = ", ".join(
        f"[{case.column}] {case.type}{'' if case.type == 'rowversion' else ' null'}"
        for case in cases
    )
    source.execute(f"create table [dbo].[{table}] ([id] int not null primary key, {columns})")
    given = [case for case in cases if case.type != "rowversion"]
    names = ", ".join(["[id]", *(f"[{case.column}]" for case in given)])
    for number in range(3):
        values = [case.literals[number] if number < 2 else "null" for case in given]
        source.execute(
            f"insert into [dbo].[{table}] ({names}) values ({', '.join([str(number), *values])})"
        )
    sent: dict[str, list[Any]] = {case.type: [*case.values, None] for case in given}
    for case in cases:
        if case.type == "rowversion":
            rows = source.query(
                f"select cast([{case.column}] as binary(8)) from [dbo].[{table}] order by [id]"
            )
            sent[case.type] = [bytes(row[0]) for row in rows]
    return sent


def _bare(name: str) -> str:
    return name.lower().replace("_", "")


def _grid(columns: dict[str, Found]) -> dict[str, Any]:
    notes: list[str] = []
    rows: list[list[str]] = []
    for case in CASES:
        cells: list[str] = []
        for tool, found in columns.items():
            verdict, note = found[case.type]
            cells.append(verdict)
            if note:
                notes.append(f"`{case.type}`, {tool}: {verdict}: {note.replace('`', '')}")
        rows.append([f"`{case.type}`", *cells])
    totals = [
        f"**{sum(1 for verdict, _ in found.values() if verdict == EXACT)}**"
        for found in columns.values()
    ]
    return {
        "title": f"{len(CASES)} types: a low value, a high value, null",
        "columns": list(columns),
        "rows": [*rows, ["exact", *totals]],
        "notes": notes,
    }
