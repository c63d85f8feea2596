"""What a table in Redshift looks like now: its columns, their types, their defaults.

Source: https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_COLUMNS.html
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from typing_extensions import override

from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.grants import quoted
from tranship.pgsql.catalogue import ExistingColumn, ExistingTable
from tranship.pgsql.driver import SqlConnection, SqlCursor, one_row
from tranship.redshift.identifiers import fold
from tranship.redshift.types import RedshiftType
from tranship.tables import Column, SourceType, TableName

_LETTERS = f"'{string.ascii_uppercase}', '{string.ascii_lowercase}'"


@dataclass(frozen=True, slots=True)
class RedshiftColumn(ExistingColumn[RedshiftType]):
    """One column of a table that is there; an identity counts as a default."""

    @override
    def read(self) -> Column:
        """The column as it is read.

        Raises:
            UnsupportedTypeError: It has a type that this library does not read.
        """
        source = SourceType.parse(str(self.type))
        return Column(self.name, self.type.arrow(), self.nullable, source, self.comment)


RedshiftTable: TypeAlias = ExistingTable[RedshiftColumn]


def find_table(cursor: SqlCursor, table: TableName) -> RedshiftTable | None:
    """The table of that folded name; `None` where there is none, or none to be seen by this user.

    Args:
        cursor: A cursor of an open connection.
        table: The table's name, folded.
    """
    cursor.execute(
        """
        select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale,
            is_nullable, column_default, remarks
        from svv_columns
        where table_schema = %s and table_name = %s
        order by ordinal_position
        """,
        (table.schema, table.name),
    )
    rows = cursor.fetchall()
    return ExistingTable(table, tuple(map(_column, rows))) if rows else None


def present_tables(cursor: SqlCursor) -> dict[TableName, bool]:
    """Every table and view of the cluster but its own, and whether it is a view; external tables are not among them."""
    cursor.execute(
        """
        select n.nspname, c.relname, c.relkind
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'v') and n.nspname <> 'information_schema' and left(n.nspname, 3) <> 'pg_'
        """
    )
    return {TableName(schema, name): kind == "v" for schema, name, kind in cursor.fetchall()}


def column_names(cursor: SqlCursor, table: TableName) -> tuple[str, ...]:
    """The columns of the table of that folded name, whoever may read it; none where it is not there."""
    cursor.execute(
        """
        select a.attname
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """,
        (table.schema, table.name),
    )
    return tuple(name for (name,) in cursor.fetchall())


def visible_table(cursor: SqlCursor, table: TableName, *, reading: bool) -> RedshiftTable | None:
    """The table of that folded name; `None` where there is none.

    Raises:
        TableNotFoundError: It is there, but the session's user may not see it; the grant is in the message.
        ConfigurationError: A table of that name in another case is there: none is made beside it.
    """
    existing = find_table(cursor, table)
    if existing is None and column_names(cursor, table):
        # Another session may have made it between the two looks.
        existing = find_table(cursor, table)
        if existing is None:
            raise unseen_table(cursor.connection, table, reading=reading)
    _refuse_another_case(cursor, table, existing)
    return existing


def _refuse_another_case(
    cursor: SqlCursor, table: TableName, existing: RedshiftTable | None
) -> None:
    """A session that keeps case may have made "FactSales", which "factsales" is not, and not be ours to write.

    https://docs.aws.amazon.com/redshift/latest/dg/r_enable_case_sensitive_identifier.html
    """
    if existing is None:
        _refuse_table_in_another_case(cursor, table)
    else:
        _refuse_capital_columns(table, existing)


def _refuse_table_in_another_case(cursor: SqlCursor, table: TableName) -> None:
    cursor.execute(
        f"""
        select n.nspname, c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where translate(n.nspname, {_LETTERS}) = %s and translate(c.relname, {_LETTERS}) = %s
            and c.relkind in ('r', 'v')
        """,
        (table.schema, table.name),
    )
    # Another session may have made the very table since the look that did not find it.
    others = [
        other
        for schema, name in cursor.fetchall()
        if (other := TableName(str(schema), str(name))) != table
    ]
    if not others:
        return
    spelled = ", ".join(f"{quoted(other.schema)}.{quoted(other.name)}" for other in others)
    other = others[0]
    cure = (
        f"alter schema {quoted(other.schema)} rename to {quoted(table.schema)};"
        if other.schema != table.schema
        else f"alter table {quoted(other.schema)}.{quoted(other.name)} rename to {quoted(table.name)};"
    )
    raise ConfigurationError(
        f"There is no {table}, but {spelled}, whose letters differ in case only: no second table is made. This "
        f"session {'keeps' if keeps_case(cursor) else 'does not keep'} the case of names.",
        f"Names are written in lower case here. Run, in a session that keeps case: "
        f"set enable_case_sensitive_identifier to true; {cure}",
    )


def _refuse_capital_columns(table: TableName, existing: RedshiftTable) -> None:
    odd = [column.name for column in existing.columns if fold(column.name) != column.name]
    if odd:
        listed = ", ".join(quoted(name) for name in odd)
        cure = " ".join(
            f"alter table {quoted(table.schema)}.{quoted(table.name)} rename column {quoted(name)} to {quoted(fold(name))};"
            for name in odd
        )
        raise ConfigurationError(
            f"{table} has columns with capital letters ({listed}), which only a session that keeps the case of names "
            "can use; names are written in lower case here, and no second column is made.",
            f"Run, in such a session: set enable_case_sensitive_identifier to true; {cure}",
        )


def refuse_any_case(cursor: SqlCursor, table: TableName, key: Sequence[str]) -> None:
    """Refuse to tell rows apart by texts in a database that takes texts for one whatever the case of their letters.

    Args:
        cursor: Where it is asked.
        table: The table, for the message.
        key: The columns of texts that rows are told apart by.

    Raises:
        ConfigurationError: It is such a database; the message has the cure.
    """
    if not key or database_collation(cursor) != "case_insensitive":
        return
    raise ConfigurationError(
        f"The database of {table} was created with collate case_insensitive: keys of {', '.join(key)} that differ in case "
        "would become one row. Nothing was written.",
        "Write to a database that is created with collate case_sensitive, the default; or load the table with mode: replace.",
    )


def database_collation(cursor: SqlCursor) -> str:
    """`case_sensitive` or `case_insensitive` (https://docs.aws.amazon.com/redshift/latest/dg/r_DB_COLLATION.html)."""
    cursor.execute("select db_collation()")
    return str(one_row(cursor)[0])


def keeps_case(cursor: SqlCursor) -> bool:
    """Whether the session keeps the case of quoted names: of the cluster, the user, or set for itself."""
    cursor.execute("show enable_case_sensitive_identifier")
    return str(one_row(cursor)[0]).lower() in {"on", "true", "1"}


def unseen_table(
    connection: SqlConnection, table: TableName, *, reading: bool
) -> TableNotFoundError:
    """The error for a table that is there, but not to be seen by the session's user.

    Args:
        connection: The user's.
        table: The table, folded.
        reading: Whether rows are only read.
    """
    # AWS puts a prefix before the names of temporary users, which is no part of them.
    user = quoted(connection.info.user.removeprefix("IAMA:").removeprefix("IAM:"))
    schema = quoted(table.schema)
    rights = "select" if reading else "select, insert, update, delete"
    return TableNotFoundError(
        f"{table} exists, but user {user} may not see it.",
        f"Ask its owner or an administrator to run: grant usage on schema {schema} to {user}; "
        f"grant {rights} on table {schema}.{quoted(table.name)} to {user};",
    )


def row_estimate(cursor: SqlCursor, statement: str, parameters: dict[str, Any]) -> int | None:
    """How many rows the planner expects of a query; `None` where it does not say.

    Args:
        cursor: A cursor of an open connection.
        statement: A select statement.
        parameters: Its values.
    """
    cursor.execute(f"explain {statement}", parameters)
    top = cursor.fetchone()
    marker = "rows="
    if top is None or marker not in top[0]:
        return None
    digits = top[0].split(marker, 1)[1].split()[0]
    return int(digits) if digits.isdigit() else None


def _column(row: tuple[Any, ...]) -> RedshiftColumn:
    name, data_type, length, precision, scale, nullable, default, remarks = row
    return RedshiftColumn(
        name=name,
        type=_type(data_type, length, precision, scale),
        nullable=str(nullable).upper() in {"YES", "TRUE"},
        has_default=default is not None and str(default).strip() != "",
        comment=remarks or None,
    )


def _type(
    data_type: str, length: int | None, precision: int | None, scale: int | None
) -> RedshiftType:
    plain = RedshiftType.parse(data_type)
    if plain.name == "decimal":
        return RedshiftType("decimal", precision=precision or 18, scale=scale or 0)
    if plain.name in {"varchar", "char", "varbyte"} and length:
        return RedshiftType(plain.name, length=int(length))
    return plain
