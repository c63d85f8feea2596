"""A column takes the place of another one of the same name: what Redshift has instead of altering it.

Redshift drops no NOT NULL and changes no type but to a longer VARCHAR (https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html).
So a new column is filled, the old one dropped, and the new one renamed, all in the transaction of the write: the
table stays the same one, with its grants, keys and late-binding views. The column is the last one afterwards.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql

from tranship.errors import WriteFailedError
from tranship.redshift.identifiers import qualified
from tranship.redshift.types import RedshiftType
from tranship.tables import TableName

_KEY_COLUMN = re.compile(r'cannot drop (sort|dist)key column "(.*)"')
_DEPENDENTS = re.compile(r"other objects depend on it|depends on")
_WITHOUT = {"sort": "alter sortkey none", "dist": "alter diststyle even"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One column that is exchanged.

    Args:
        name: Its name.
        type: The type that it has then.
        keeps_values: Whether its values go over to the new column.
        comment: Its comment, which goes over as well.
    """

    name: str
    type: RedshiftType
    keeps_values: bool
    comment: str | None = None

    def statements(self, table: TableName, passing: str) -> Iterator[sql.Composed]:
        """The statements, in order; for one transaction.

        Args:
            table: The table, folded.
            passing: What the new column is called meanwhile.
        """
        of = {
            "table": qualified(table),
            "new": sql.Identifier(passing),
            "old": sql.Identifier(self.name),
            "type": sql.SQL(str(self.type)),
        }
        yield sql.SQL("alter table {table} add column {new} {type}").format(**of)
        if self.keeps_values:
            yield sql.SQL("update {table} set {new} = {old}").format(**of)
        yield sql.SQL("alter table {table} drop column {old}").format(**of)
        yield sql.SQL("alter table {table} rename column {new} to {old}").format(**of)
        if self.comment:
            yield sql.SQL("comment on column {} is {}").format(
                sql.Identifier(table.schema, table.name, self.name), sql.Literal(self.comment)
            )


def in_the_way(error: psycopg2.Error, table: TableName) -> WriteFailedError | None:
    """Why a column cannot be dropped, with the statements that make it possible; `None` for other errors."""
    said = " ".join(str(error).split())
    shown = f'"{table.schema}"."{table.name}"'
    if (match := _KEY_COLUMN.search(said)) is not None:
        kind, column = match[1], match[2]
        return WriteFailedError(
            f'"{column}" of {table} must be exchanged for a column that takes what the source has now, but it is the '
            f"table's {kind}key: {said}",
            f"Run: alter table {shown} {_WITHOUT[kind]}; then load again, and give the table its {kind}key back.",
            details={"column": column},
        )
    if _DEPENDENTS.search(said):
        return WriteFailedError(
            f"A column of {table} must be exchanged for one that takes what the source has now, but: {said}",
            "Drop the view, load again, and create it anew; a view with no schema binding does not stand in the way.",
        )
    return None
