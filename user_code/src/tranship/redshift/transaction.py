"""The one transaction that puts staged rows into a table, repeated as a whole while it fails for passing reasons.

Writers of a table queue on its journal, a small table beside it that the transaction locks before anything
else. Redshift takes a transaction's snapshot at its first query, which LOCK is not
(https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html): a writer that waited sees what the one
before it committed. So two writers of one partition never mix their rows, under either isolation level,
1023 is rare, and readers never wait. The journal's row is also how the outcome is known when the answer to a
COMMIT is lost: it is there exactly if the transaction was committed, and the lock is free only once that
transaction is over.
"""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import psycopg2
from psycopg2 import sql

from tranship.equality import Rules
from tranship.errors import DuplicateRowsError, TranshipError, WriteFailedError
from tranship.pgsql import keys
from tranship.redshift import load_errors
from tranship.redshift.connection import connected
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.ddl import create_temporary
from tranship.redshift.exchange import in_the_way
from tranship.redshift.faults import translate, words
from tranship.redshift.identifiers import column_list, fold, qualified
from tranship.redshift.plan import LoadPlan
from tranship.redshift.sessions import Session, current_session, end_session
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.staging import Staged
from tranship.retry import retry_transient
from tranship.slices import WholeTable
from tranship.tables import TableName, TableSchema
from tranship.writes import Extra, WriteMode, WriteRequest

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
# Redshift's lower() knows letters that the rule of a key may tell apart.
LOWER = f"translate({{}}, '{ascii_uppercase}', '{ascii_lowercase}')"


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that was committed.

    Args:
        attempts: How often it was run.
        query_id: Redshift's id of the COPY; `None` where nothing was copied or the answer was lost.
        confirmed_later: Whether the answer to COMMIT was lost and the journal told the outcome.
    """

    attempts: int
    query_id: int | None = None
    confirmed_later: bool = False


@dataclass(slots=True)
class Transaction:
    """Staged rows on their way into one table.

    Args:
        settings: The cluster.
        source: Credentials for each connection.
        request: Mode, slice and key.
        plan: The columns; the table is there and has them.
        schema: The incoming columns, for the slice.
        staged: The files.
        prefix_url: Address that the files of this write start with.
        journal: The journal's name; `None` where writers queue on the table itself.
        write_id: What identifies this write in the journal.
        log: Where waiting and repetitions are told.
        extra: Statements to commit together with the rows.
    """

    settings: RedshiftSettings
    source: CredentialsSource
    request: WriteRequest
    plan: LoadPlan
    schema: TableSchema
    staged: Staged
    prefix_url: str
    journal: TableName | None
    write_id: str
    log: logging.Logger
    extra: Extra | None = None
    _attempts: int = field(init=False, default=0)
    _previous: Session | None = field(init=False, default=None)
    _copying: bool = field(init=False, default=False)

    def run(self) -> Committed:
        """Commit the rows.

        Raises:
            TransientError: The last passing fault, after the last attempt.
            WriteFailedError: Redshift refused the rows, or an append's outcome cannot be known.
        """
        return retry_transient(
            self._once,
            what=f"the {self.request}",
            attempts=self.settings.attempts,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            log=self.log,
            is_cheap=True,  # the rows are staged, and stay so
        )

    def _once(self) -> Committed:
        self._attempts += 1
        with connected(self.settings, self.source) as connection:
            try:
                with connection.cursor() as cursor:
                    if self._previous is not None:
                        end_session(cursor, self._previous, self.log)
                    self._previous = current_session(cursor, self.log)
                # The first statement from here on is preceded by BEGIN.
                connection.autocommit = False
                with connection.cursor() as cursor:
                    if self._was_committed(cursor):
                        return Committed(self._attempts, confirmed_later=True)
                    query_id = self._write(cursor)
            except psycopg2.Error as error:
                raise self._explained(error, connection) from None
            self._commit(connection)
        return Committed(self._attempts, query_id)

    def _was_committed(self, cursor: Any) -> bool:
        """Take the lock; then look whether an earlier attempt was committed after all."""
        queue = self.journal or self.plan.table
        self.log.debug("Waiting for other writers of %s.", self.plan.table)
        cursor.execute(sql.SQL("lock table {}").format(qualified(queue)))
        if self.journal is None or self._attempts == 1:
            return False
        # Composed, not bound: with values of its own the driver takes a percent sign in the name for a placeholder.
        cursor.execute(
            sql.SQL("select count(*) from {} where write_id = {}").format(
                qualified(self.journal), sql.Literal(self.write_id)
            )
        )
        return cursor.fetchone()[0] > 0

    def _write(self, cursor: Any) -> int | None:
        alters = bool(self.plan.exchanges or self.plan.dropped)
        # A column is exchanged right before the rows go in: its lock, unlike that of a COPY, keeps readers out.
        looks = self.request.declared is not None and self.request.declared.may_be_double
        merges = self.request.mode is WriteMode.MERGE
        through_temporary = self.plan.converts or alters or looks or merges
        query_id = None
        if through_temporary and self.staged.manifest:
            temporary = sql.Identifier(f"tranship_{self.write_id}")
            cursor.execute(create_temporary(f"tranship_{self.write_id}", self.plan))
            query_id = self._copy(cursor, temporary)
            if self.request.mode is WriteMode.MERGE:
                self._alter(cursor)
                self._merge(cursor, temporary)
            else:
                if looks:
                    self._check_declared_key(cursor, temporary)
                self._delete(cursor)
                self._alter(cursor)
                self._insert(cursor, temporary)
        else:
            self._delete(cursor)
            self._alter(cursor)
            if self.staged.manifest and self.request.mode is not WriteMode.MERGE:
                query_id = self._copy(cursor, qualified(self.plan.table))
        if self.extra is not None:
            self.extra(cursor)
        self._record(cursor)
        return query_id

    def _alter(self, cursor: Any) -> None:
        """Exchange and drop columns, so that the table takes the rows."""
        statements = [
            statement
            for number, exchange in enumerate(self.plan.exchanges)
            for statement in exchange.statements(
                self.plan.table, f"tranship_{self.write_id[:16]}_{number}"
            )
        ]
        statements += [
            sql.SQL("alter table {} drop column {}").format(
                qualified(self.plan.table), sql.Identifier(name)
            )
            for name in self.plan.dropped
        ]
        try:
            for statement in statements:
                cursor.execute(statement)
        except psycopg2.Error as error:
            if (obstacle := in_the_way(error, self.plan.table)) is not None:
                raise obstacle from None
            raise

    def _delete(self, cursor: Any) -> None:
        if self.request.mode is WriteMode.REPLACE:
            if isinstance(self.request.slice, WholeTable):
                cursor.execute(sql.SQL("delete from {}").format(qualified(self.plan.table)))
                return
            # SQLAlchemy takes longer to import than a small table to load; only conditions need it.
            from tranship.redshift.statements import delete_slice

            target = self.plan.target_schema(self.schema)
            cursor.execute(*delete_slice(self.plan.table, self.request.slice, target))

    def _copy(self, cursor: Any, into: sql.Composable) -> int:
        role = self.settings.s3_iam_role
        self._copying = True
        cursor.execute(
            sql.SQL("copy {} ({}) from {} iam_role {} format as parquet manifest{}").format(
                into,
                column_list(self.plan.names),
                sql.Literal(self.staged.manifest),
                sql.SQL("default") if role.lower() == "default" else sql.Literal(role),
                sql.SQL(" serializetojson" if self.plan.serializes else ""),
            )
        )
        self._copying = False
        cursor.execute("select pg_last_copy_count(), pg_last_copy_id()")
        loaded, query_id = cursor.fetchone()
        if loaded != self.staged.rows:
            raise WriteFailedError(
                f"The {self.request} was rolled back: {self.staged.rows:,} rows were staged, and COPY "
                f"loaded {loaded:,}.",
                "Look at the load in sys_load_history; the old rows are untouched.",
                details={"copy_query_id": query_id},
            )
        return query_id

    def _insert(self, cursor: Any, temporary: sql.Composable) -> None:
        cursor.execute(
            sql.SQL("insert into {} ({}) select {} from {}").format(
                qualified(self.plan.table),
                column_list(self.plan.names),
                sql.SQL(", ").join(self._values(None)),
                temporary,
            )
        )

    def _merge(self, cursor: Any, temporary: sql.Identifier) -> None:
        key = [fold(name) for name in self.request.key]
        rules = self.plan.equalities(self.schema.equalities(self.request.key))
        self._check_unique(cursor, temporary, key, rules)
        target = sql.Identifier(self.plan.table.name)
        values = self._values(temporary)
        arriving = dict(zip(self.plan.names, values, strict=True))
        equal = {
            name: sql.SQL("{}.{} = {}").format(target, sql.Identifier(name), arriving[name])
            for name in key
        }
        if rules:
            # A key that came in another spelling makes way: its columns are no part of what MERGE updates.
            texts = [name for name in key if name in rules]
            same = [keys.same_key(target, temporary, texts, rules, LOWER)]
            same += [equal[name] for name in key if name not in rules]
            cursor.execute(
                sql.SQL("delete from {} using {} where {} and ({})").format(
                    qualified(self.plan.table),
                    temporary,
                    sql.SQL(" and ").join(same),
                    keys.other_spelling(target, temporary, key, rules),
                )
            )
        matches = list(equal.values())
        # Trailing blanks mean nothing to Redshift's "="; to a source that compares bytes they do.
        matches += [
            sql.SQL("octet_length({0}.{2}) = octet_length({1}.{2})").format(
                target, temporary, sql.Identifier(name)
            )
            for name in self._by_bytes(key, rules)
        ]
        # All columns where all are key: MERGE wants something to set.
        changed = [name for name in self.plan.names if name not in key] or key
        assignments = [
            sql.SQL("{} = {}").format(sql.Identifier(name), value)
            for name, value in zip(self.plan.names, values, strict=True)
            if name in changed
        ]
        cursor.execute(
            sql.SQL(
                """
                merge into {} using {} on {}
                when matched then update set {}
                when not matched then insert ({}) values ({})
                """
            ).format(
                qualified(self.plan.table),
                temporary,
                sql.SQL(" and ").join(matches),
                sql.SQL(", ").join(assignments),
                column_list(self.plan.names),
                sql.SQL(", ").join(values),
            )
        )

    def _check_declared_key(self, cursor: Any, temporary: sql.Identifier) -> None:
        """Refuse rows that a read has shown twice: Redshift enforces no key."""
        key = self.request.key or self.schema.primary_key
        if key and set(key) <= set(self.schema.names):
            rules = self.plan.equalities(self.schema.equalities(key))
            self._check_unique(cursor, temporary, [fold(name) for name in key], rules)

    def _check_unique(
        self, cursor: Any, temporary: sql.Identifier, key: list[str], rules: Rules
    ) -> None:
        columns = {name: sql.Identifier(name) for name in key}
        shown_columns = [
            sql.SQL("min({})").format(column) if name in rules else column
            for name, column in columns.items()
        ]
        groups = [keys.fold(column, rules.get(name), LOWER) for name, column in columns.items()]
        groups += [
            sql.SQL("octet_length({})").format(columns[name]) for name in self._by_bytes(key, rules)
        ]
        cursor.execute(
            sql.SQL("select {}, count(*) from {} group by {} having count(*) > 1 limit 1").format(
                sql.SQL(", ").join(shown_columns), temporary, sql.SQL(", ").join(groups)
            )
        )
        found = cursor.fetchone()
        if found is not None:
            shown = ", ".join(f"{name} {value!r}" for name, value in zip(key, found, strict=False))
            raise DuplicateRowsError(
                f"The {self.request} failed: {found[-1]} of its rows have the key {shown}.",
                "Keep one row for each key, or name more key columns.",
                details={"key": shown},
            )

    def _by_bytes(self, key: list[str], rules: Rules) -> list[str]:
        """The key columns of texts that are one only where their bytes are."""
        varying = {column.name for column in self.plan.columns if column.type.name == "varchar"}
        return [name for name in key if name in varying and name not in rules]

    def _values(self, temporary: sql.Composable | None) -> list[sql.Composable]:
        """What each column is filled with: the copied value, or a cast of it."""
        values: list[sql.Composable] = []
        for column in self.plan.columns:
            value: sql.Composable = sql.Identifier(column.name)
            if temporary is not None:
                value = sql.SQL("{}.{}").format(temporary, value)
            if column.parses_json:
                value = sql.SQL("json_parse({})").format(value)
            elif column.is_converted:
                value = sql.SQL("cast({} as {})").format(value, sql.SQL(str(column.type)))
            values.append(value)
        return values

    def _record(self, cursor: Any) -> None:
        if self.journal is None:
            return
        values = (
            self.write_id,
            datetime.now(UTC).replace(tzinfo=None),
            str(self.request.mode),
            str(self.request.slice)[:250],
            self.staged.rows,
        )
        cursor.execute(
            sql.SQL(
                "insert into {} (write_id, written_at, mode, part, row_count) values ({})"
            ).format(qualified(self.journal), sql.SQL(", ").join(map(sql.Literal, values)))
        )

    def _commit(self, connection: Any) -> None:
        try:
            connection.commit()
        except psycopg2.Error as error:
            explained = translate(
                error, self.settings, f"commit of the {self.request}", lost=bool(connection.closed)
            )
            if not connection.closed or self.journal is not None:
                raise explained from None
            if self.request.mode is not WriteMode.APPEND:
                raise explained from None  # the same rows again make the same table
            raise WriteFailedError(
                f"The connection was lost during the commit of the {self.request}, so nobody knows "
                "whether it was committed.",
                f"Look whether the rows are in {self.plan.table} before running this again. With "
                "write_lock: journal the outcome is checked.",
            ) from None

    def _explained(self, error: psycopg2.Error, connection: Any) -> TranshipError:
        doing = str(self.request)
        explained = translate(
            error,
            self.settings,
            doing,
            lost=bool(connection.closed),
            schema=self.plan.table.schema,
        )
        if explained.transient or not self._copying or connection.closed:
            return explained
        self._copying = False
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            reason = load_errors.from_views(cursor, self.prefix_url, self.log)
        if reason is None and type(explained) is WriteFailedError:
            # Only where the words mean nothing more particular: no right to the bucket, no such table.
            reason = load_errors.from_text(error)
        if reason is None:
            return explained
        self.log.debug("Redshift said: %s", words(error, self.settings))
        sources = {column.name: column.source for column in self.plan.columns}
        return load_errors.as_error(reason, doing, sources)
