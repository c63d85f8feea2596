"""What a statement reads, and whether it waits there: the isolation level of the session, hints, and the options of the database.

docs/t-sql/statements/set-transaction-isolation-level-transact-sql.md and docs/t-sql/queries/hints-transact-sql-table.md of MicrosoftDocs/sql-docs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.locks.row_keys import key_columns, key_text
from standins.sqlserver.locks.table_locks import CATALOGUE

if TYPE_CHECKING:
    from standins.sqlserver.catalogue import TableDefinition
    from standins.sqlserver.expressions import Source
    from standins.sqlserver.state import SessionState


class Isolation(StrEnum):
    """The isolation levels of T-SQL."""

    READ_UNCOMMITTED = "read uncommitted"
    READ_COMMITTED = "read committed"
    REPEATABLE_READ = "repeatable read"
    SERIALIZABLE = "serializable"
    SNAPSHOT = "snapshot"


_LEVELS = {
    "NOLOCK": Isolation.READ_UNCOMMITTED,
    "READUNCOMMITTED": Isolation.READ_UNCOMMITTED,
    "READCOMMITTED": Isolation.READ_COMMITTED,
    "READCOMMITTEDLOCK": Isolation.READ_COMMITTED,
    "REPEATABLEREAD": Isolation.REPEATABLE_READ,
    "SERIALIZABLE": Isolation.SERIALIZABLE,
    "HOLDLOCK": Isolation.SERIALIZABLE,
}
_OF_GRAIN = {"ROWLOCK", "PAGLOCK", "FORCESEEK", "FORCESCAN"}
"""They choose a finer lock or a plan; rows are what is locked here anyway."""
_OTHERS = {"READPAST", "UPDLOCK", "TABLOCK", "NOWAIT", "READCOMMITTEDLOCK"}


_OF_STATE = {"sys.databases", "sys.database_recovery_status", "sys.change_tracking_databases"}


@dataclass(slots=True)
class Access:
    """One table in a statement.

    Args:
        table: the table; a view of the system's stands for the catalogue.
        source: its entry in FROM; None where it is what the statement changes.
        level: the isolation level that a hint asks for.
        hints: the other hints.
        seek: which keys it reads, as a condition in DuckDB's text over `source`; empty where it may meet any row.
    """

    table: "TableDefinition"
    source: "Source | None" = None
    level: Isolation | None = None
    hints: frozenset[str] = frozenset()
    seek: str = ""


def access(table: "TableDefinition", node: exp.Table) -> Access:
    """What a table in FROM asks for by its hints.

    Raises:
        SqlError: 650, READPAST at a level that has no locks to pass; hints that are not supported.
    """
    names = {
        str(hint.name).upper()
        for group in node.args.get("hints") or []
        if isinstance(group, exp.WithTableHint)
        for hint in group.expressions
    }
    levels = [level for name, level in _LEVELS.items() if name in names]
    if unknown := names - _OF_GRAIN - _OTHERS - _LEVELS.keys():
        raise unsupported(f"the table hint {', '.join(sorted(unknown))}")
    return Access(table, level=levels[0] if levels else None, hints=frozenset(names & _OTHERS))


def resource(table: "TableDefinition") -> int | None:
    """What to lock for it: the table, for a view the system's own tables; None for views of what the server is doing."""
    if not table.is_view:
        return table.object_id
    name = table.full_name.lower()
    return None if name in _OF_STATE or name.startswith("sys.dm_") else CATALOGUE


def passed_rows(table: "TableDefinition") -> str:
    """The name under which DuckDB sees the keys that READPAST leaves out."""
    return f"passed_rows_of_{table.object_id}"


def passing(read: Access) -> str:
    """What stands for the table where locked rows are left out (READPAST); empty elsewhere.

    Raises:
        SqlError: the table has no key, which the stand-in tells rows apart by.
    """
    if "READPAST" not in read.hints or read.table.is_view:
        return ""
    if not key_columns(read.table):
        raise unsupported(f"READPAST of {read.table.full_name}, a table without a key")
    return f"(select * from {read.table.sql} where {key_text(read.table)} not in (select k from {passed_rows(read.table)}))"


def waits(read: Access, session: "SessionState") -> Isolation | None:
    """The level at which a table is read, where that takes locks; None where it takes none.

    Raises:
        SqlError: 650, READPAST at a level that has no locks to pass.
    """
    level = read.level or session.transactions.isolation
    if "READPAST" in read.hints and level not in {
        Isolation.READ_COMMITTED,
        Isolation.REPEATABLE_READ,
    }:
        raise SqlError(
            650,
            "You can only specify the READPAST lock in the READ COMMITTED or REPEATABLE READ isolation levels.",
        )
    if read.table.is_view:
        # The system's own tables have no versions.
        return None if level == Isolation.READ_UNCOMMITTED else Isolation.READ_COMMITTED
    if level in {Isolation.READ_UNCOMMITTED, Isolation.SNAPSHOT}:
        return None
    versioned = session.store.reads_versions and "READCOMMITTEDLOCK" not in read.hints
    if level == Isolation.READ_COMMITTED and versioned and not read.hints & {"UPDLOCK", "READPAST"}:
        return None
    return level
