"""What switches Change Tracking on and off: ALTER DATABASE ... SET CHANGE_TRACKING, ALTER TABLE ... ENABLE | DISABLE CHANGE_TRACKING.

docs/t-sql/statements/alter-database-transact-sql-set-options.md and alter-table-transact-sql.md of MicrosoftDocs/sql-docs.
"""

from typing import TYPE_CHECKING

from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.names import SYSTEM_DATABASES
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.tracking import errors
from standins.sqlserver.tracking.store import Tracked

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import TableDefinition
    from standins.sqlserver.state import SessionState

MINUTES, HOURS, DAYS = 1, 2, 3
_UNITS = {"MINUTES": (MINUTES, 1), "HOURS": (HOURS, 60), "DAYS": (DAYS, 24 * 60)}
_MAX_MINUTES = 2**31 - 1
_SWITCHES = {
    "ALLOW_SNAPSHOT_ISOLATION": "snapshot_isolation",
    "READ_COMMITTED_SNAPSHOT": "read_committed_snapshot",
}


def alter_database(
    reader: TokenReader, session: "SessionState", connection: "duckdb.DuckDBPyConnection"
) -> None:
    """`ALTER DATABASE name | CURRENT SET ...`: Change Tracking, and the two options of row versions.

    Raises:
        SqlError: 226 inside a transaction, 5011 no such database, and what Change Tracking refuses (5088 to 5092, 22114, 22115, 155).
    """
    reader.expect("ALTER", "DATABASE")
    current = reader.peek() == "CURRENT"
    name = reader.name()
    name = session.database if current else name
    reader.expect("SET")
    if session.transaction_depth:
        raise SqlError(
            226, "ALTER DATABASE statement not allowed within multi-statement transaction.", 16, 6
        )
    if reader.peek() == "CHANGE_TRACKING":
        _set_tracking(reader, name, session, connection)
    else:
        _set_switches(reader, name, session, connection)


def _check_database(name: str, session: "SessionState") -> None:
    if name.lower() != session.home_database.lower():
        raise errors.alter_database_refused(name)


def _set_switches(
    reader: TokenReader,
    name: str,
    session: "SessionState",
    connection: "duckdb.DuckDBPyConnection",
) -> None:
    while True:
        option = reader.name().upper()
        if option == "CHANGE_TRACKING":
            raise errors.with_other_options()
        if option not in _SWITCHES:
            raise unsupported(f"ALTER DATABASE ... SET {option}")
        on = reader.accept("ON")
        if not on:
            reader.expect("OFF")
        _check_database(name, session)
        connection.execute(f"update standin.options set {_SWITCHES[option]} = ?", [on])
        if not reader.accept(","):
            break
    # Nobody waits here for the transactions that are open, so there are none to roll back.
    if reader.accept("WITH"):
        reader.position = len(reader.tokens)
    if reader.more():
        raise syntax_error(reader.peek())
    session.store.read_options()


def _set_tracking(
    reader: TokenReader,
    name: str,
    session: "SessionState",
    connection: "duckdb.DuckDBPyConnection",
) -> None:
    reader.expect("CHANGE_TRACKING")
    switch = ""
    if reader.accept("="):
        switch = "ON" if reader.accept("ON") else "OFF"
        if switch == "OFF":
            reader.expect("OFF")
    options = {}
    if switch != "OFF" and (reader.peek() == "(" or not switch):
        options = _read_options(reader)
    if reader.peek() == ",":
        raise errors.with_other_options()
    if reader.more():
        raise syntax_error(reader.peek())
    if name.lower() in SYSTEM_DATABASES:
        raise errors.system_database(name)
    _check_database(name, session)
    name = session.home_database
    on = bool(connection.execute("select 1 from standin.tracking").fetchall())
    if switch == "ON":
        if on:
            raise errors.database_on_already(name)
        # docs/t-sql/statements/alter-database-transact-sql-set-options.md: two days, cleanup on
        values = {"period": 2, "unit": DAYS, "cleanup": True, **options}
        connection.execute("insert into standin.tracking values ($period, $unit, $cleanup)", values)
    elif not on:
        raise errors.database_off(name, 1 if switch == "OFF" else 2)
    elif switch == "OFF":
        if session.recorder.tracking.tables:
            raise errors.tables_on_still(name)
        connection.execute(
            "begin transaction; delete from standin.tracking; delete from standin.tracked_changes; delete from standin.tracked_commits; commit"
        )
        session.recorder.tracking.start_again()
    else:
        for option, column in (
            ("period", "retention_period"),
            ("unit", "retention_unit"),
            ("cleanup", "auto_cleanup"),
        ):
            if option in options:
                connection.execute(f"update standin.tracking set {column} = ?", [options[option]])


def _read_options(reader: TokenReader) -> dict[str, int | bool]:
    """`(CHANGE_RETENTION = n DAYS | HOURS | MINUTES, AUTO_CLEANUP = ON | OFF)`."""
    options: dict[str, int | bool] = {}
    seen: set[str] = set()
    reader.expect("(")
    while True:
        name = reader.name().upper()
        if name in seen:
            raise errors.option_twice(name)
        seen.add(name)
        if name not in {"CHANGE_RETENTION", "AUTO_CLEANUP"}:
            raise syntax_error(name)
        reader.expect("=")
        if name == "AUTO_CLEANUP":
            options["cleanup"] = reader.accept("ON")
            if not options["cleanup"]:
                reader.expect("OFF")
        else:
            options["period"], options["unit"] = _read_retention(reader)
        if not reader.accept(","):
            break
    reader.expect(")")
    return options


def _read_retention(reader: TokenReader) -> tuple[int, int]:
    number = reader.name()
    if not number.isdecimal():
        raise syntax_error(number)
    unit = reader.name()
    if unit.upper() not in _UNITS:
        raise errors.unknown_retention_unit(unit)
    code, minutes = _UNITS[unit.upper()]
    if not 1 <= int(number) * minutes <= _MAX_MINUTES:
        raise errors.retention_out_of_range("CHANGE_RETENTION")
    return int(number), code


def alter_table(
    reader: TokenReader,
    table: "TableDefinition",
    session: "SessionState",
    connection: "duckdb.DuckDBPyConnection",
) -> None:
    """`ENABLE | DISABLE CHANGE_TRACKING [WITH (TRACK_COLUMNS_UPDATED = ON | OFF)]`, behind `ALTER TABLE name`.

    Raises:
        SqlError: 1718, 4996, 4997, 4998, 4999.
    """
    enable = reader.accept("ENABLE")
    if not enable:
        reader.expect("DISABLE")
    reader.expect("CHANGE_TRACKING")
    columns = False
    if enable and reader.accept("WITH"):
        reader.expect("(", "TRACK_COLUMNS_UPDATED", "=")
        columns = reader.accept("ON")
        if not columns:
            reader.expect("OFF")
        reader.expect(")")
    if reader.more():
        raise syntax_error(reader.peek())
    recorder = session.recorder
    if not enable:
        if recorder.of(table.object_id) is None:
            raise errors.not_on(table.name)
        stop(table.object_id, session, connection)
        return
    if not connection.execute("select 1 from standin.tracking").fetchall():
        raise errors.off_for_the_database(session.home_database, table.name)
    if recorder.of(table.object_id) is not None:
        raise errors.on_already(table.name)
    key = table.primary_key
    if key is None:
        raise errors.no_key(table.name)
    if any(column.type.name == "rowversion" for column in table.key_columns):
        raise errors.key_of_rowversion(table.name)
    tracked = Tracked(recorder.tracking.next_generation(), columns)
    connection.execute(
        "insert into standin.tracked_tables values ($table, $generation, $columns, $version, 0, $version)",
        {
            "table": table.object_id,
            "generation": tracked.generation,
            "columns": columns,
            "version": recorder.tracking.version,
        },
    )
    recorder.switch(table.object_id, tracked)


def stop(object_id: int, session: "SessionState", connection: "duckdb.DuckDBPyConnection") -> None:
    """Forgets all that was recorded of a table; with DISABLE, and with DROP TABLE."""
    for name in ("tracked_tables", "tracked_changes"):
        connection.execute(f"delete from standin.{name} where object_id = ?", [object_id])
    session.recorder.switch(object_id, None)


def begin_anew(table: "TableDefinition", session: "SessionState") -> tuple[str, ...]:
    """What TRUNCATE does to a tracked table: as if tracking had just been switched on, without a word of the rows that went.

    docs/relational-databases/system-functions/changetable-transact-sql.md, "CHANGETABLE(CHANGES...)".
    """
    if session.recorder.of(table.object_id) is None:
        return ()
    version = session.recorder.tracking.version
    return (
        f"delete from standin.tracked_changes where object_id = {table.object_id}",
        f"update standin.tracked_tables set begin_version = {version}, min_valid_version = {version} where object_id = {table.object_id}",
    )
