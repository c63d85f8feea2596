"""Looks for what SQL Server hides from a login: masks, row-level security, Always Encrypted, and keys.

A login that may SELECT sees rows and columns, but only some of the catalogue: constraints and policies are for those
who may view definitions (https://learn.microsoft.com/sql/relational-databases/security/metadata-visibility-configuration).
So an empty answer of the catalogue is no proof that there is nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.sqlserver.statements import quoted, quoted_table
from tranship.tables import TableName
from tranship.visibility import OnMasked, Visibility

Rows = list[tuple[Any, ...]]

# A table has at least one row in sys.indexes (a heap is index 0), so that no row at all tells that they are hidden.
# INFORMATION_SCHEMA's views of constraints show those of tables on which the login has more than SELECT.
# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-indexes-transact-sql
KEY_INDEXES = """
    select s.name, o.name, o.type, has_perms_by_name(db_name(), 'DATABASE', 'VIEW DEFINITION'),
           i.index_id, i.is_primary_key, c.name
    from sys.objects as o
    join sys.schemas as s on s.schema_id = o.schema_id
    left join sys.indexes as i on i.object_id = o.object_id
    left join sys.index_columns as x
      on x.object_id = i.object_id and x.index_id = i.index_id and x.key_ordinal > 0 and i.is_primary_key = 1
    left join sys.columns as c on c.object_id = x.object_id and c.column_id = x.column_id
    where o.type in ('U', 'V') and s.name in (:schemas) and o.name in (:tables)
    order by s.name, o.name, i.index_id, x.key_ordinal
"""

# UNMASK is a right on the database, and since SQL Server 2022 on schemas, tables and columns too; an older server
# answers null for those. Only then is a value what is stored.
# https://learn.microsoft.com/sql/relational-databases/security/dynamic-data-masking
# https://learn.microsoft.com/sql/t-sql/functions/has-perms-by-name-transact-sql
CONCEALED_COLUMNS = """
    select s.name, o.name, c.name, c.is_masked, c.encryption_type,
           has_perms_by_name(db_name(), 'DATABASE', 'UNMASK'),
           has_perms_by_name('[' + replace(s.name, ']', ']]') + '].[' + replace(o.name, ']', ']]') + ']',
                             'OBJECT', 'UNMASK', c.name, 'COLUMN')
    from sys.columns as c
    join sys.objects as o on o.object_id = c.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where (c.is_masked = 1 or c.encryption_type is not null) and s.name in (:schemas) and o.name in (:tables)
    order by s.name, o.name, c.column_id
"""

# Type 0 is a filter; the others keep writers out, which a reader does not notice.
# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-security-predicates-transact-sql
FILTERS = """
    select s.name, o.name, p.name
    from sys.security_predicates as r
    join sys.security_policies as p on p.object_id = r.object_id
    join sys.objects as o on o.object_id = r.target_object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where p.is_enabled = 1 and r.predicate_type = 0 and s.name in (:schemas) and o.name in (:tables)
    order by s.name, o.name, p.name
"""


@dataclass(slots=True)
class HiddenFacts:
    """The rows of the questions above; `None` where the server does not know the question.

    Args:
        indexes: Of `KEY_INDEXES`.
        columns: Of `CONCEALED_COLUMNS`.
        filters: Of `FILTERS`.
    """

    indexes: Rows | None = None
    columns: Rows | None = None
    filters: Rows | None = None

    def key(self, table: tuple[str, str]) -> list[str]:
        """The primary key's columns in lower case and in the key's order, by the indexes."""
        return [
            row[6].lower()
            for row in self.indexes or ()
            if _folded(row) == table and row[5] and row[6] is not None
        ]

    def visibility(self, table: tuple[str, str], names: Iterable[str]) -> Visibility:
        """What is hidden of one table.

        Args:
            table: Schema and name in lower case.
            names: Its columns.
        """
        spelled: dict[str, str] = {name.lower(): name for name in names}
        hidden = [row for row in self.columns or () if _folded(row) == table]
        masked: list[str] = [row[2] for row in hidden if row[3] and not (row[5] or row[6])]
        encrypted: list[str] = [row[2] for row in hidden if row[4] is not None]
        indexes = [row for row in self.indexes or () if _folded(row) == table]
        is_table = any(row[2].strip() == "U" for row in indexes)
        return Visibility(
            masked=tuple(spelled.get(name.lower(), name) for name in masked),
            encrypted=tuple(spelled.get(name.lower(), name) for name in encrypted),
            filtered_by=tuple(row[2] for row in self.filters or () if _folded(row) == table),
            sees_keys=not is_table or any(row[4] is not None for row in indexes),
            sees_filters=bool(indexes[0][3]) if indexes and self.filters is not None else None,
        )


def _folded(row: tuple[Any, ...]) -> tuple[str, str]:
    return row[0].lower(), row[1].lower()


def check_columns(
    table: TableName,
    names: Iterable[str],
    visibility: Visibility,
    on_masked: OnMasked,
    user: str,
) -> None:
    """Refuse to read columns whose values are not those that are stored.

    Raises:
        ConfigurationError: Values are masked, and nobody said that masks are wanted.
        UnsupportedTypeError: Values are encrypted, and only who has the key can read them.
    """
    selected = list(names)
    masked = [name for name in visibility.masked if name in selected]
    if masked and on_masked is OnMasked.REFUSE:
        listed = ", ".join(quoted(name) for name in masked)
        raise ConfigurationError(
            f"{table} has columns that are masked for this login (dynamic data masking): "
            f"{', '.join(masked)}. Masks would be loaded as if they were the values.",
            f"Its owner runs: grant unmask on {quoted_table(table)} ({listed}) to "
            f"{quoted(user)}; (before SQL Server 2022: grant unmask to {quoted(user)};) or leave them out: "
            f"exclude: [{', '.join(masked)}]; or load the masks knowingly: masked: accept.",
            details={"masked": ", ".join(masked)},
        )
    encrypted = [name for name in visibility.encrypted if name in selected]
    if encrypted:
        raise UnsupportedTypeError(
            f"{table} has columns that are encrypted (Always Encrypted), of which the server has ciphertext only: "
            f"{', '.join(encrypted)}.",
            f"The driver here cannot decrypt them. Leave them out: exclude: [{', '.join(encrypted)}].",
            details={"encrypted": ", ".join(encrypted)},
        )


def hidden_keys(table: TableName, user: str) -> ConfigurationError:
    """The error for a table of which nobody can say whether it has a key."""
    name = quoted_table(table)
    return ConfigurationError(
        f"Whether {table} has a primary key is hidden from this login, and without one its rows cannot be told apart.",
        f"Its owner runs: grant view definition on {name} to {quoted(user)}; or name the key: key: [id].",
    )


def filter_note(table: TableName, visibility: Visibility, user: str) -> str | None:
    """What is to be said of row-level security; `None` where there is nothing to say."""
    if visibility.filtered_by:
        return (
            f"Rows of {table} are filtered for this login by row-level security "
            f"({', '.join(visibility.filtered_by)}): the copy holds only those that it may see."
        )
    if visibility.sees_filters is False:
        return (
            f"This login may not see whether rows are filtered by row-level security, so the copy of {table} is held "
            f"against what the login sees. To know: grant view definition to {quoted(user)};"
        )
    return None
