"""What tests ask a database: one statement, and its rows."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

Rows = list[tuple[Any, ...]]


def rows_of(
    connection: extensions.connection,
    statement: str | sql.Composable,
    values: tuple[Any, ...] | None = None,
) -> Rows:
    """Run a statement; gives its rows, none where it has no result."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def asking(url: str) -> Iterator[Callable[[str], Rows]]:
    """Ask a Postgres or Redshift; each statement is committed at once."""
    address = url.replace("+psycopg2", "").replace("redshift://", "postgresql://")
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        yield lambda statement: rows_of(connection, statement)
