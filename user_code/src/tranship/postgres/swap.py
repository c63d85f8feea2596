"""Put a freshly loaded table in the place of the old one, with everything that hangs on the old one.

The replacement is made, loaded, indexed and analyzed beside the table while readers read. Then, under a
short exclusive lock, names are exchanged, dependent views are pointed at the replacement by `create or
replace view` (so that they keep their own grants, comments and dependents), and the old table is
dropped without `cascade`: what is not carried over makes the drop fail, and the rows are then moved
into the old table instead.
"""

import logging
import random
import time
from dataclasses import dataclass, field

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from tranship.errors import TransientError
from tranship.pgsql.driver import SqlCursor, qualified
from tranship.postgres.attachments import Attachments, attachments_of, fingerprint
from tranship.postgres.catalogue import PostgresTable
from tranship.postgres.reconcile import Evolution, evolve_table
from tranship.postgres.transaction import LONGEST_PAUSE_SECONDS, lock_exclusively
from tranship.tables import TableName

CARRY_OVER_FAILURES = (
    psycopg2.errors.DependentObjectsStillExist,
    psycopg2.errors.InvalidTableDefinition,
    psycopg2.errors.InsufficientPrivilege,
    psycopg2.errors.FeatureNotSupported,
    psycopg2.errors.WrongObjectType,
)
"""What Postgres says when something cannot be carried over; anything else is a real failure."""

HELD_UP = (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected)
"""What Postgres says when somebody stood in the way of the swap, and may not the next time."""

_log = logging.getLogger(__name__)

_OBSTACLES = """
select case
    when c.relkind <> 'r' then 'it is not a plain table'
    when not pg_has_role(c.relowner, 'usage') then 'its owner is another role'
    when not has_schema_privilege(c.relnamespace, 'create') then 'this role may not create tables in the schema'
    when c.reloftype <> 0 then 'it is a typed table'
    when c.relrowsecurity or exists (select from pg_policy where polrelid = c.oid) then 'it has row security policies'
    when exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid) then 'it is part of an inheritance tree'
    when exists (select from pg_trigger where tgrelid = c.oid and not tgisinternal) then 'it has triggers, which must see the rows'
    when exists (select from pg_constraint where confrelid = c.oid and contype = 'f') then 'foreign keys point to it'
    when exists (select from pg_rewrite where ev_class = c.oid) then 'it has rules'
    when exists (select from pg_attribute where attrelid = c.oid and attidentity <> '') then 'it has identity columns'
    when exists (select from pg_publication_tables p where p.schemaname = n.nspname and p.tablename = c.relname)
        then 'it is published, and subscribers must see the rows'
    when exists (select from pg_statistic_ext where stxrelid = c.oid) then 'it has extended statistics'
    when exists (select from pg_seclabels where objoid = c.oid) then 'it has security labels'
    when exists (select from pg_depend where objid = c.oid and classid = 'pg_class'::regclass and deptype = 'e')
        then 'it belongs to an extension'
    when exists (select from pg_depend where refclassid = 'pg_type'::regclass and refobjid in (c.reltype, t.typarray)
                 and deptype = 'n') then 'its row type is used elsewhere'
    when exists (select from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class v on v.oid = r.ev_class
                 where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                   and (v.relkind <> 'v' or not pg_has_role(v.relowner, 'usage')))
        then 'a materialized view, a rule, or a view of another role depends on it'
end
from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_type t on t.oid = c.reltype
where c.oid = {}
"""


def obstacle(cursor: SqlCursor, existing: PostgresTable) -> str | None:
    """Why a table cannot be swapped, or `None` where nothing we know of stands in the way."""
    cursor.execute(sql.SQL(_OBSTACLES).format(sql.Literal(existing.oid)))
    (reason,) = cursor.fetchone() or (None,)
    return reason


@dataclass(slots=True)
class Replacement:
    """The table that is loaded beside another one and takes its place.

    It lives and dies with the transaction: a writer that is killed leaves nothing behind.
    """

    cursor: SqlCursor
    existing: PostgresTable
    evolution: Evolution = field(default_factory=Evolution)
    table: TableName = field(init=False)
    _before: str = field(init=False)

    def __post_init__(self) -> None:
        self.table = TableName(self.existing.name.schema, f"tranship_new_{self.existing.oid}")
        self._before = fingerprint(self.cursor, self.existing.oid)

    def create(self) -> None:
        """Make an empty table with the columns, checks, defaults and options of the old one, as they shall be."""
        attached = self._attached()
        self.cursor.execute(
            sql.SQL("create {}table {} (like {} including all excluding indexes){}").format(
                sql.SQL("unlogged " if attached.unlogged else ""),
                qualified(self.table),
                qualified(self.existing.name),
                sql.SQL(" tablespace {}").format(sql.Identifier(attached.tablespace))
                if attached.tablespace
                else sql.SQL(""),
            )
        )
        for statement in attached.storage_statements(self.table):
            self.cursor.execute(statement)
        evolve_table(self.cursor, self.table, self.evolution)

    def finish(self) -> None:
        """Build indexes and keys on the loaded rows, and gather statistics; readers are not disturbed."""
        for statement in self._attached().index_statements(self.table):
            self.cursor.execute(statement)
        if (key := self.evolution.key.added) is not None:
            for statement in key.statements(self.table, sql.Identifier(self._passing_key)):
                self.cursor.execute(statement)
        self.cursor.execute(sql.SQL("analyze {}").format(qualified(self.table)))

    def swap(self, wait_seconds: float) -> str | None:
        """Take the old table's place; this alone is repeated where a lock within it was not to be had.

        Returns:
            Why it was not possible, in which case nothing has changed; `None` once it is done.

        Raises:
            TableHeldError: Readers did not let go in time.
            TransientError: Somebody altered the table meanwhile.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            # Going back to this point also lets go of the locks.
            self.cursor.execute("savepoint tranship_swap")
            try:
                self._swap(wait_seconds)
            except CARRY_OVER_FAILURES as error:
                self.cursor.execute("rollback to savepoint tranship_swap")
                detail = error.diag.message_detail
                return f"{error.diag.message_primary}{f' ({detail})' if detail else ''}"
            except HELD_UP as error:
                self.cursor.execute("rollback to savepoint tranship_swap")
                if time.monotonic() >= deadline:
                    raise
                _log.warning("The swap of %s is tried again: %s", self.existing.name, error)
                time.sleep(random.uniform(0.05, LONGEST_PAUSE_SECONDS))
            else:
                self.cursor.execute("release savepoint tranship_swap")
                return None

    def _swap(self, wait_seconds: float) -> None:
        name = self.existing.name
        lock_exclusively(self.cursor, self._attached().lock_statements(), name, wait_seconds)
        if fingerprint(self.cursor, self.existing.oid) != self._before:
            raise TransientError(
                f"{name} was altered by somebody else while its replacement was loaded.",
                "Run the write again.",
            )
        self._exchange()

    def drop(self) -> None:
        """Remove the replacement after its rows were moved otherwise."""
        self.cursor.execute(sql.SQL("drop table {}").format(qualified(self.table)))

    def _exchange(self) -> None:
        # Read again under the lock: grants, comments and views may be newer than the indexes' plan.
        attached = self._attached()
        name, old = (
            self.existing.name,
            TableName(self.existing.name.schema, f"tranship_old_{self.existing.oid}"),
        )
        for statement in attached.grant_statements(self.cursor, self.table):
            self.cursor.execute(statement)
        self._rename(name, old)
        self._rename(self.table, name)
        for statement in attached.view_statements():
            self.cursor.execute(statement)
        for statement in attached.sequence_statements():
            self.cursor.execute(statement)
        self.cursor.execute(sql.SQL("drop table {}").format(qualified(old)))
        for statement in attached.naming_statements():
            self.cursor.execute(statement)
        if self.evolution.key.added is not None:
            self._name_key(name)

    def _attached(self) -> Attachments:
        """What hangs on the table now and shall hang on its replacement."""
        return attachments_of(
            self.cursor,
            self.existing,
            without_indexes=[index.name for index in self.evolution.key.dropped],
            without_columns=self.evolution.dropped,
        )

    @property
    def _passing_key(self) -> str:
        return f"tranship_key_{self.existing.oid}"

    def _name_key(self, table: TableName) -> None:
        """The name of the key that was there, or one as Postgres gives it, where that is free."""
        wanted = self.evolution.key.name or f"{table.name}_pkey".encode()[:63].decode(
            errors="ignore"
        )
        index = sql.Identifier(table.schema, wanted)
        self.cursor.execute("select to_regclass(%s) is null", (index.as_string(self.cursor),))
        (is_free,) = self.cursor.fetchone() or (False,)
        if is_free:
            self.cursor.execute(
                sql.SQL("alter index {} rename to {}").format(
                    sql.Identifier(table.schema, self._passing_key), sql.Identifier(wanted)
                )
            )

    def _rename(self, table: TableName, to: TableName) -> None:
        self.cursor.execute(
            sql.SQL("alter table {} rename to {}").format(qualified(table), sql.Identifier(to.name))
        )
