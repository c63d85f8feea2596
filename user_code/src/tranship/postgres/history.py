"""What a history is written in on Postgres."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2 import sql
from typing_extensions import override

from tranship.pgsql.driver import qualified
from tranship.pgsql.history_columns import HistoryWords
from tranship.postgres.merge import STAGING, differs
from tranship.postgres.types import PostgresType, widened
from tranship.tables import TableName


@dataclass(frozen=True)
class PostgresHistoryWords(HistoryWords):
    """Indexes, and columns that take another type where they stand."""

    @override
    def differ(self, type_name: str, left: sql.Composable, right: sql.Composable) -> sql.Composable:
        return differs(type_name, left, right)

    @override
    def wider(self, own: PostgresType, incoming: PostgresType) -> PostgresType | None:
        return widened(own, incoming)

    @override
    def retyped(self, table: TableName, column: str, type_: str) -> Iterator[sql.Composable]:
        # https://www.postgresql.org/docs/current/sql-altertable.html
        yield sql.SQL("alter table {0} alter column {1} type {2} using {1}::{2}").format(
            qualified(table), sql.Identifier(column), sql.SQL(type_)
        )


WORDS = PostgresHistoryWords(
    later="({0} + {1} * interval '1 microsecond')", has_indexes=True, staged=STAGING
)
