"""What SQL Server says of a table's capture instances, and the statements that make or drop one.

It is asked by the procedure that is meant for it, which shows an instance to whoever may read its changes; the tables of the schema
`cdc` may be closed to them.
https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sys-sp-cdc-help-change-data-capture-transact-sql
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tranship.sqlserver.lsns import from_bytes
from tranship.sqlserver.statements import CompiledStatement, quoted_table, rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.tables import TableName


@dataclass(frozen=True, slots=True)
class CaptureInstance:
    """One capture of a table's changes; a table has two at most.

    Args:
        name: Its name.
        source_id: The object id of the table.
        lowest: The number that its changes can be had from; a clean-up moves it.
        created: When it was made.
        columns: The ids of the columns that it captures; one that was dropped and added again is another one.
    """

    name: str
    source_id: int
    lowest: int
    created: datetime
    columns: frozenset[int]

    @property
    def all_changes(self) -> str:
        """The function that gives its changes, in the schema `cdc`."""
        return f"fn_cdc_get_all_changes_{self.name}"

    def advise_drop(self, table: TableName) -> str:
        """The statement that drops it."""
        return (
            f"exec sys.sp_cdc_disable_table @source_schema = {_text(table.schema)}, @source_name = {_text(table.name)}, "
            f"@capture_instance = {_text(self.name)}"
        )


@dataclass(frozen=True, slots=True)
class CapturedColumns:
    """Whether a table's changes are captured, and which columns it has.

    Args:
        database_is_on: Whether its database captures changes.
        table_is_on: Whether the table has an instance.
        stored: The ids of its columns that hold values, by name.
        computed: Its columns that are computed, of which nothing is captured.
        misspelled: Its texts of one byte a character in another collation than the database's, of which other characters than ASCII may be
            captured wrong.
    """

    database_is_on: bool
    table_is_on: bool
    stored: Mapping[str, int]
    computed: frozenset[str]
    misspelled: frozenset[str]


def captured_columns(connection: DriverConnection, table: TableName) -> CapturedColumns:
    """What the catalogue says, which every reader of the table may see."""
    answer = rows(connection, CompiledStatement(_COLUMNS, (quoted_table(table),)))
    on, tracked = (answer[0][0], answer[0][1]) if answer else (False, False)
    return CapturedColumns(
        bool(on),
        bool(tracked),
        {name: int(number) for _, _, name, number, computed, _ in answer if not computed},
        frozenset(name for _, _, name, _, computed, _ in answer if computed),
        frozenset(name for *_, name, _, _, foreign in answer if foreign),
    )


def instances_of(connection: DriverConnection, table: TableName) -> tuple[CaptureInstance, ...]:
    """The instances of a captured table that the login may read."""
    answer = rows(connection, CompiledStatement(_INSTANCES, (table.schema, table.name)))
    return tuple(
        CaptureInstance(
            name=str(row[2]),
            source_id=int(row[4]),
            lowest=from_bytes(row[5]),
            created=row[12],
            columns=_columns_of(connection, str(row[2])),
        )
        for row in answer
    )


def _columns_of(connection: DriverConnection, instance: str) -> frozenset[int]:
    # https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sys-sp-cdc-get-captured-columns-transact-sql
    answer = rows(connection, CompiledStatement(_CAPTURED, (instance,)))
    return frozenset(int(row[4]) for row in answer)


def enable_database() -> str:
    """The statement that a member of sysadmin switches a database on with."""
    return "exec sys.sp_cdc_enable_db"


def advise_instance(table: TableName, beside: Sequence[CaptureInstance] = ()) -> str:
    """The statement that the database's owner makes an instance with, of all columns that the table has then.

    Args:
        table: The table.
        beside: The instances that it has.

    Example:
        >>> advise_instance(TableName("dbo", "Orders"))
        "exec sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'Orders', @role_name = null"
    """
    statement = f"exec sys.sp_cdc_enable_table @source_schema = {_text(table.schema)}, @source_name = {_text(table.name)}, @role_name = null"
    if not beside:
        return statement
    taken = {instance.name.lower() for instance in beside}
    names = (f"{table.schema}_{table.name}_{number}" for number in range(2, len(taken) + 3))
    free = next(name for name in names if name.lower() not in taken)
    return f"{statement}, @capture_instance = {_text(free)}"


def _text(value: str) -> str:
    return "N'" + value.replace("'", "''") + "'"


# 35, 167 and 175 are text, varchar and char.
_COLUMNS = """
    select (select d.is_cdc_enabled from sys.databases as d where d.database_id = db_id()), t.is_tracked_by_cdc,
           c.name, c.column_id, c.is_computed,
           case when c.system_type_id in (35, 167, 175) and c.collation_name <> cast(databasepropertyex(db_name(), 'Collation') as nvarchar(128))
                then 1 else 0 end
    from sys.tables as t join sys.columns as c on c.object_id = t.object_id
    where t.object_id = object_id(?)
"""
_INSTANCES = "exec sys.sp_cdc_help_change_data_capture @source_schema = ?, @source_name = ?"
_CAPTURED = "exec sys.sp_cdc_get_captured_columns @capture_instance = ?"
