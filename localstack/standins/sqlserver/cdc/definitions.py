"""What switches Change Data Capture on and off for a database and a table, what moves its lower ends, and what DDL of a source does to it.

docs/relational-databases/system-stored-procedures/sys-sp-cdc-*.md and
docs/relational-databases/track-changes/about-change-data-capture-sql-server.md of MicrosoftDocs/sql-docs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standins.sqlserver.batch import Statement, split
from standins.sqlserver.cdc import errors, lsns
from standins.sqlserver.cdc.store import CaptureInstance, ChangeDataCapture, now
from standins.sqlserver.errors import unsupported
from standins.sqlserver.names import SYSTEM_DATABASES
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import ColumnDefinition, KeyDefinition, TableDefinition
    from standins.sqlserver.session import Session
    from standins.sqlserver.state import SessionState

SCHEMA = "cdc"
MOST_INSTANCES = 2
LONGEST_NAME = 100
_RESERVED = {"__$start_lsn", "__$end_lsn", "__$seqval", "__$operation", "__$update_mask"}


@dataclass(frozen=True, slots=True)
class Capture:
    """What `sys.sp_cdc_enable_table` is asked for.

    Args:
        schema: the source's schema.
        table: the source.
        role: the gating role.
        instance: the instance's name; None for schema and table with an underscore between.
        net_changes: whether net changes can be asked for; None for where there is a primary key.
        index: a unique index that tells rows apart.
        columns: names of the columns; None for all.
        filegroup: where the change table is kept.
    """

    schema: str
    table: str
    role: str | None
    instance: str | None = None
    net_changes: bool | None = None
    index: str | None = None
    columns: tuple[str, ...] | None = None
    filegroup: str | None = None


def _refuse_in_transaction(session: "Session", what: str) -> None:
    if session.state.transaction_depth:
        raise unsupported(f"{what} inside of a transaction")


def _is_denied(session: "Session", right: str) -> bool:
    return bool(session.catalogue.rows('select 1 from standin.denied where "right" = ?', [right]))


def check_owner(session: "Session") -> ChangeDataCapture:
    """Called by what only an owner of a database that is on may do.

    Raises:
        SqlError: 22901 or 22904.
    """
    capture = session.state.store.capture
    if not capture.is_enabled:
        raise errors.database_off(session.state.database)
    if _is_denied(session, "DB_OWNER"):
        raise errors.owner_needed()
    return capture


# -- databases
def enable_database(session: "Session") -> None:
    """`sys.sp_cdc_enable_db`.

    Raises:
        SqlError: 22902 no sysadmin, 22906 a schema of that name.
    """
    _refuse_in_transaction(session, "sys.sp_cdc_enable_db")
    if _is_denied(session, "SYSADMIN"):
        raise errors.sysadmin_needed()
    capture = session.state.store.capture
    if session.state.database.lower() in SYSTEM_DATABASES:
        raise unsupported("Change Data Capture of system databases")
    if capture.is_enabled:
        return
    if session.catalogue.schema_id(SCHEMA) is not None:
        raise errors.name_is_taken(session.state.database)
    _define(session, f"create schema {SCHEMA}")
    session.connection.execute("insert into standin.cdc_databases values (?)", [now()])
    capture.read()


def disable_database(session: "Session") -> None:
    """`sys.sp_cdc_disable_db`: all instances go, and what they captured with them."""
    _refuse_in_transaction(session, "sys.sp_cdc_disable_db")
    if _is_denied(session, "SYSADMIN"):
        raise errors.sysadmin_needed()
    capture = session.state.store.capture
    if not capture.is_enabled:
        return
    for both in list(capture.instances.values()):
        for instance in both:
            drop_instance(session, instance.name)
    with capture.scanning():
        _define(session, f"drop schema {SCHEMA}")
        session.connection.execute(
            "delete from standin.cdc_databases; delete from standin.cdc_lsn_time_mapping; delete from standin.cdc_log"
        )
        capture.read()


# -- tables
def enable_table(session: "Session", wanted: Capture) -> None:
    """`sys.sp_cdc_enable_table`: makes an instance, which captures what is committed from now on.

    Raises:
        SqlError: 22901, 22904, 22926 to 22931, 22939, 22942, 22943, 22962, 22974, 22975.
    """
    _refuse_in_transaction(session, "sys.sp_cdc_enable_table")
    capture = check_owner(session)
    table = session.catalogue.find(wanted.schema, wanted.table)
    if wanted.schema.lower() == SCHEMA:
        raise errors.table_of_cdc()
    if table is None or table.is_view:
        raise errors.no_such_table(wanted.schema, wanted.table)
    name = wanted.instance or f"{table.schema}_{table.name}"
    if len(name) > LONGEST_NAME:
        raise errors.name_too_long(name)
    if len(capture.instances.get(table.object_id, ())) >= MOST_INSTANCES:
        raise errors.two_instances_already(table.schema, table.name)
    if capture.instance(name) is not None:
        raise errors.instance_exists(name)
    columns = _columns(table, wanted.columns)
    key = _net_key(table, wanted, columns)
    # Whoever changes the table ends first: what is committed behind the lower end is captured whole.
    session.state.locks.change_definition(session.state, table.object_id)
    is_first = not capture.instances
    try:
        with capture.scanning():
            _make_instance(session, table, name, wanted, columns, key)
            capture.read()
    finally:
        session.state.locks.release(session.state.spid)
    if is_first:
        capture.start_job()


def _columns(
    table: "TableDefinition", names: tuple[str, ...] | None
) -> "tuple[ColumnDefinition, ...]":
    if names is None:
        columns = table.columns
    else:
        wanted = {name.lower() for name in names}
        columns = tuple(column for column in table.columns if column.name.lower() in wanted)
        if len(columns) != len(wanted):
            raise errors.no_such_columns(table.schema, table.name)
    if any(column.name.lower() in _RESERVED for column in columns):
        raise errors.reserved_names(table.name)
    return columns


def _net_key(
    table: "TableDefinition", wanted: Capture, columns: "tuple[ColumnDefinition, ...]"
) -> "KeyDefinition | None":
    """The key that tells rows apart, if one is asked for or there is a primary one."""
    key = table.primary_key
    if wanted.index is not None:
        folded = wanted.index.lower()
        key = next((key for key in table.keys if key.name.lower() == folded), None)
        if key is None:
            raise errors.no_such_index(wanted.index, table.schema, table.name)
    if wanted.net_changes and key is None:
        raise errors.key_needed()
    captured = {column.name.lower() for column in columns}
    nets = wanted.net_changes if wanted.net_changes is not None else key is not None
    if key is not None and nets and not {name.lower() for name in key.columns} <= captured:
        raise errors.key_not_captured()
    return key


def _make_instance(
    session: "Session",
    table: "TableDefinition",
    name: str,
    wanted: Capture,
    columns: "tuple[ColumnDefinition, ...]",
    key: "KeyDefinition | None",
) -> None:
    shown = ", ".join(
        f"[{column.name.replace(']', ']]')}] {_captured_type(column)} null" for column in columns
    )
    change_table = f"{name}_CT"
    _define(
        session,
        f"create table {SCHEMA}.[{change_table.replace(']', ']]')}] ([__$start_lsn] binary(10) not null, [__$end_lsn] binary(10) null, "
        f"[__$seqval] binary(10) not null, [__$operation] int not null, [__$update_mask] varbinary(128) null, {shown}, "
        "[__$command_id] int null)",
    )
    made = session.catalogue.find(SCHEMA, change_table)
    assert made is not None
    lsn = session.state.store.capture.next_lsn()
    connection = session.connection
    connection.execute("begin transaction")
    connection.execute(f"create table standin.cdc_log_{made.object_id} as from {made.sql} limit 0")
    nets = wanted.net_changes if wanted.net_changes is not None else key is not None
    connection.execute(
        "insert into standin.cdc_change_tables values (?, 0, ?, ?, ?, null, ?, null, ?, ?, ?, ?, false)",
        [
            made.object_id, table.object_id, name, lsn, nets, wanted.role, key.name if key else None, wanted.filegroup, now(),
        ],
    )  # fmt: skip
    for ordinal, column in enumerate(columns, 1):
        connection.execute(
            "insert into standin.cdc_captured_columns values (?, ?, ?, ?, ?, ?)",
            [
                made.object_id, column.name, column.column_id, column.type.name, ordinal, column.computed is not None,
            ],
        )  # fmt: skip
    for ordinal, key_column in enumerate(key.columns if key else (), 1):
        column = table.column(key_column)
        connection.execute(
            "insert into standin.cdc_index_columns values (?, ?, ?, ?)",
            [made.object_id, key_column, ordinal, column.column_id if column else None],
        )
    connection.execute("commit")


def _captured_type(column: "ColumnDefinition") -> str:
    """The type in the change table; a rowversion is kept as the bytes it was."""
    if column.type.name == "rowversion":
        return "binary(8)"
    collation = f" collate {column.type.collation}" if column.type.collation else ""
    return f"{column.type}{collation}"


def disable_table(session: "Session", schema: str, name: str, instance: str) -> None:
    """`sys.sp_cdc_disable_table`: one instance of a table, or `all` of them.

    Raises:
        SqlError: 22901, 22904, 22931, 22960, 22985.
    """
    _refuse_in_transaction(session, "sys.sp_cdc_disable_table")
    capture = check_owner(session)
    table = session.catalogue.find(schema, name)
    if table is None or table.is_view:
        raise errors.no_such_table(schema, name)
    both = capture.instances.get(table.object_id, ())
    if not both:
        raise errors.table_off(schema, name)
    chosen = [one for one in both if instance.lower() in {"all", one.name.lower()}]
    if not chosen:
        raise errors.not_of_the_table(instance, schema, name)
    session.state.locks.change_definition(session.state, table.object_id)
    try:
        for one in chosen:
            drop_instance(session, one.name)
    finally:
        session.state.locks.release(session.state.spid)


def drop_instance(session: "Session", name: str) -> None:
    """Takes an instance away with all that it captured."""
    capture = session.state.store.capture
    instance = capture.instance(name)
    if instance is None:
        return
    with capture.scanning():
        _define(session, f"drop table {SCHEMA}.[{(name + '_CT').replace(']', ']]')}]")
        session.connection.execute(f"drop table {instance.log}")
        _forget(session.connection, instance.object_id)
        capture.read()


def _forget(connection: "duckdb.DuckDBPyConnection", object_id: int) -> None:
    for table in ("change_tables", "captured_columns", "index_columns"):
        connection.execute(f"delete from standin.cdc_{table} where object_id = ?", [object_id])


def _define(session: "Session", sql: str) -> None:
    (statement,) = split(sql)
    assert isinstance(statement, Statement)
    session.define(statement)


# -- what DDL of a source does
def follow_types(
    connection: "duckdb.DuckDBPyConnection",
    capture: ChangeDataCapture,
    old: "TableDefinition",
    new: "TableDefinition",
) -> None:
    """ALTER COLUMN: the change tables take the type over; all else of a source's DDL leaves them as they are."""
    for instance in capture.instances.get(new.object_id, ()):
        for captured in instance.columns:
            before = next((c for c in old.columns if c.column_id == captured.column_id), None)
            after = next((c for c in new.columns if c.column_id == captured.column_id), None)
            if before is None or after is None or before.type == after.type:
                continue
            kind, name = after.type, identifier(captured.name)
            for table in (instance.table, instance.log):
                connection.execute(f"alter table {table} alter column {name} type {kind.storage}")
            connection.execute(
                """update standin.columns set type_name = ?, length = ?, "precision" = ?, scale = ?, collation_name = ?
                where object_id = ? and name = ?""",
                [
                    kind.name, kind.length, kind.precision, kind.scale, kind.collation or None, instance.object_id, captured.name,
                ],
            )  # fmt: skip
            connection.execute(
                "update standin.cdc_captured_columns set column_type = ? where object_id = ? and column_name = ?",
                [kind.name, instance.object_id, captured.name],
            )


def drop_with_source(
    connection: "duckdb.DuckDBPyConnection", state: "SessionState", instance: CaptureInstance
) -> None:
    """DROP TABLE of a source takes its instances along; the change table is dropped by whoever calls."""
    if state.transaction_depth:
        raise unsupported("DROP TABLE of a captured table inside of a transaction")
    connection.execute(f"drop table {instance.log}")
    _forget(connection, instance.object_id)


def check_key(capture: ChangeDataCapture, table: "TableDefinition", constraint: str) -> None:
    """Called before a constraint is dropped.

    Raises:
        SqlError: 22979, net changes are counted by it.
    """
    for instance in capture.instances.get(table.object_id, ()):
        if instance.net_index and instance.net_index.lower() == constraint.lower():
            raise errors.key_is_needed(constraint, table.name)


# -- lower ends
def clean_up(session: "Session", name: str, low_water_mark: bytes | None) -> None:
    """`sys.sp_cdc_cleanup_change_table`: forgets what an instance captured below a commit, and begins there.

    Raises:
        SqlError: 22901, 22904, 22920, 22964.
    """
    _refuse_in_transaction(session, "sys.sp_cdc_cleanup_change_table")
    capture = check_owner(session)
    instance = capture.instance(name)
    if instance is None:
        raise errors.no_such_instance(name, session.state.database)
    with capture.scanning():
        connection = session.connection
        mark = instance.start_lsn if low_water_mark is None else low_water_mark
        known = connection.execute(
            "select 1 from standin.cdc_lsn_time_mapping where start_lsn = ?", [mark]
        ).fetchall()
        if low_water_mark is not None and not known:
            raise errors.not_in_the_mapping(lsns.written(mark))
        connection.execute("begin transaction")
        connection.execute(f'delete from {instance.table} where "__$start_lsn" < ?', [mark])
        connection.execute(
            "update standin.cdc_change_tables set start_lsn = ? where object_id = ? and start_lsn < ?",
            [mark, instance.object_id, mark],
        )
        connection.execute(
            "delete from standin.cdc_lsn_time_mapping where start_lsn < (select min(start_lsn) from standin.cdc_change_tables)"
        )
        connection.execute("commit")
        capture.read()
