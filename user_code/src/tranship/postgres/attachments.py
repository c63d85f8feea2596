"""What hangs on a table, read from the catalogue, and the statements that hang it on another one."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from psycopg2 import sql

from tranship.errors import WriteFailedError
from tranship.pgsql.driver import SqlCursor, qualified
from tranship.postgres.catalogue import PostgresTable
from tranship.tables import TableName

_RELATION = """
select pg_get_userbyid(c.relowner), c.relpersistence = 'u', s.spcname, c.relreplident::text, c.reloptions, k.reloptions,
       obj_description(c.oid, 'pg_class')
from pg_class c left join pg_tablespace s on s.oid = c.reltablespace left join pg_class k on k.oid = c.reltoastrelid
where c.oid = {}
"""
_INDEXES = """
select c.relname, i.indisunique, pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisreplident,
       obj_description(i.indexrelid, 'pg_class'), k.contype::text, k.condeferrable, k.condeferred,
       pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')
from pg_index i join pg_class c on c.oid = i.indexrelid
left join pg_constraint k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
where i.indrelid = {} and i.indisvalid order by i.indexrelid
"""
_ON_COLUMNS = """
select 'i', c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_attribute a on a.attrelid = i.indrelid
where i.indrelid = {} and a.attname = any(%(columns)s) and (a.attnum = any(i.indkey::int2[]) or exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
      and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))
union all
select 'f', k.conname::text from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
where k.conrelid = {} and k.contype = 'f' and a.attname = any(%(columns)s)
"""
_FOREIGN_KEYS = """
select conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
from pg_constraint where conrelid = {} and contype = 'f' order by oid
"""
_GRANTS = """
select null::name, x.grantee = 0, pg_get_userbyid(x.grantee), x.privilege_type, x.is_grantable
from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x where c.oid = {0}
union all
select a.attname, x.grantee = 0, pg_get_userbyid(x.grantee), x.privilege_type, x.is_grantable
from pg_attribute a, aclexplode(a.attacl) x where a.attrelid = {0} and a.attnum > 0 and not a.attisdropped
"""
_VIEWS = """
select distinct v.oid, n.nspname, v.relname, pg_get_viewdef(v.oid), v.reloptions, pg_get_userbyid(v.relowner)
from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class v on v.oid = r.ev_class
join pg_namespace n on n.oid = v.relnamespace
where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = {}
  and v.relkind = 'v' order by v.oid
"""
_SEQUENCES = """
select n.nspname, s.relname, a.attname
from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S' join pg_namespace n on n.oid = s.relnamespace
join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' and d.refobjid = {}
"""
_COLUMN_SETTINGS = """
select attname, attstattarget, attoptions from pg_attribute
where attrelid = {} and attnum > 0 and not attisdropped and (attoptions is not null or attstattarget >= 0)
"""
_FINGERPRINT = """
select md5(coalesce(string_agg(line, ';' order by line), '')) from (
    select concat_ws(',', 'c', attnum, attname, atttypid, atttypmod, attnotnull, atthasdef, attisdropped) as line
    from pg_attribute where attrelid = {0} and attnum > 0
    union all select concat_ws(',', 'i', indexrelid) from pg_index where indrelid = {0} and indisvalid
    union all select concat_ws(',', 'k', oid, convalidated) from pg_constraint where conrelid = {0} or confrelid = {0}
    union all select concat_ws(',', 'd', oid, pg_get_expr(adbin, adrelid)) from pg_attrdef where adrelid = {0}
    union all select concat_ws(',', 't', oid) from pg_trigger where tgrelid = {0}
    union all select concat_ws(',', 'r', reloptions::text, relpersistence, reltablespace, relrowsecurity, relname)
    from pg_class where oid = {0}
) as lines
"""


@dataclass(frozen=True, slots=True)
class Attachments:
    """Everything that hangs on a table, at one moment.

    Example:
        >>> attached = attachments_of(cursor, existing)  # doctest: +SKIP
        >>> for statement in attached.index_statements(replacement): ...  # doctest: +SKIP
    """

    existing: PostgresTable
    owner: str
    unlogged: bool
    tablespace: str | None
    replica_identity: str
    options: list[str]
    toast_options: list[str]
    comment: str | None
    indexes: list[tuple[Any, ...]]
    foreign_keys: list[tuple[Any, ...]]
    grants: list[tuple[Any, ...]]
    views: list[tuple[Any, ...]]
    sequences: list[tuple[Any, ...]]
    column_settings: list[tuple[Any, ...]]

    def storage_statements(self, table: TableName) -> Iterator[sql.Composable]:
        """Storage parameters and statistics targets, which `like` does not copy."""
        settings = [*self.options, *(f"toast.{option}" for option in self.toast_options)]
        for setting in settings:
            yield sql.SQL("alter table {} set ({})").format(qualified(table), _option(setting))
        for name, target, options in self.column_settings:
            column = sql.SQL("alter table {} alter column {} ").format(
                qualified(table), sql.Identifier(name)
            )
            if target is not None and target >= 0:
                yield column + sql.SQL("set statistics {}").format(sql.Literal(target))
            for option in options or ():
                yield column + sql.SQL("set ({})").format(_option(option))

    def index_statements(self, table: TableName) -> Iterator[sql.Composable]:
        """Indexes, keys and foreign keys on the replacement, the indexes under passing names."""
        for number, (name, unique, definition, clustered, _, _, kind, *rest) in enumerate(
            self.indexes
        ):
            deferrable, deferred, constraint, _ = rest
            passing = self._passing(number)
            if kind == "x":
                yield sql.SQL("alter table {} add constraint {} {}").format(
                    qualified(table), passing, sql.SQL(constraint)
                )
                continue
            head = sql.SQL("create {}index {} on {} using ").format(
                sql.SQL("unique " if unique else ""), passing, qualified(table)
            )
            yield head + sql.SQL(self._after_using(name, definition))
            if kind is not None:
                yield sql.SQL("alter table {} add constraint {} {} using index {}{}").format(
                    qualified(table),
                    passing,
                    sql.SQL("primary key" if kind == "p" else "unique"),
                    passing,
                    sql.SQL(
                        (" deferrable" if deferrable else "")
                        + (" initially deferred" if deferred else "")
                    ),
                )
            if clustered:
                yield sql.SQL("alter table {} cluster on {}").format(qualified(table), passing)
        for name, constraint, comment in self.foreign_keys:
            yield sql.SQL("alter table {} add constraint {} {}").format(
                qualified(table), sql.Identifier(name), sql.SQL(constraint)
            )
            if comment:
                yield _comment_on_constraint(name, table, comment)

    def grant_statements(self, cursor: SqlCursor, table: TableName) -> Iterator[sql.Composable]:
        """Owner, comment and grants, and nothing that default privileges added."""
        cursor.execute("select current_user")
        (user,) = cursor.fetchone() or ("",)
        target = qualified(table)
        if self.comment:
            yield sql.SQL("comment on table {} is {}").format(target, sql.Literal(self.comment))
        if self.replica_identity in {"f", "n"}:
            kind = "full" if self.replica_identity == "f" else "nothing"
            yield sql.SQL("alter table {} replica identity " + kind).format(target)
        if self.owner != user:
            yield sql.SQL("alter table {} owner to {}").format(target, sql.Identifier(self.owner))
        cursor.execute(sql.SQL("select %s::regclass::oid"), (target.as_string(cursor),))
        (oid,) = cursor.fetchone() or (0,)
        cursor.execute(sql.SQL(_GRANTS).format(sql.Literal(oid)))
        for everyone, role in sorted({(row[1], row[2]) for row in cursor.fetchall()}):
            yield sql.SQL("revoke all on {} from {}").format(target, _grantee(everyone, role))
        for column, everyone, role, privilege, grantable in self.grants:
            part = sql.SQL(" ({})").format(sql.Identifier(column)) if column else sql.SQL("")
            yield sql.SQL("grant {}{} on {} to {}{}").format(
                sql.SQL(privilege), part, target, _grantee(everyone, role),
                sql.SQL(" with grant option" if grantable else ""),
            )  # fmt: skip

    def lock_statements(self) -> list[sql.Composable]:
        """Locks on the views and then the table: the order in which a reader of a view takes them."""
        # Setting the owner to the owner changes nothing but takes the lock; `lock table` on a view
        # would lock every table in it.
        locks: list[sql.Composable] = [
            sql.SQL("alter view {} owner to {}").format(
                sql.Identifier(schema, name), sql.Identifier(owner)
            )
            for _, schema, name, _, _, owner in self.views
        ]
        locks.append(
            sql.SQL("lock table only {} in access exclusive mode").format(
                qualified(self.existing.name)
            )
        )
        return locks

    def view_statements(self) -> Iterator[sql.Composable]:
        """The same views again; their text now finds the replacement under the old name."""
        for _, schema, name, definition, options, _ in self.views:
            listed = sql.SQL(", ").join(map(_option, options or ()))
            yield sql.SQL("create or replace view {}{} as {}").format(
                sql.Identifier(schema, name),
                sql.SQL(" with ({})").format(listed) if options else sql.SQL(""),
                sql.SQL(definition.rstrip().rstrip(";")),
            )

    def sequence_statements(self) -> Iterator[sql.Composable]:
        """Sequences of serial columns change hands, so that they outlive the old table."""
        for schema, sequence, column in self.sequences:
            table = self.existing.name
            yield sql.SQL("alter sequence {} owned by {}").format(
                sql.Identifier(schema, sequence), sql.Identifier(table.schema, table.name, column)
            )

    def naming_statements(self) -> Iterator[sql.Composable]:
        """The indexes' own names, free once the old table is gone, and what refers to them."""
        schema = self.existing.name.schema
        for number, (name, _, _, _, identity, comment, kind, *rest) in enumerate(self.indexes):
            yield sql.SQL("alter index {} rename to {}").format(
                sql.Identifier(schema, self._passing(number).strings[0]), sql.Identifier(name)
            )
            if comment:
                yield sql.SQL("comment on index {} is {}").format(
                    sql.Identifier(schema, name), sql.Literal(comment)
                )
            if kind is not None and rest[-1]:
                yield _comment_on_constraint(name, self.existing.name, rest[-1])
            if identity and self.replica_identity == "i":
                yield sql.SQL("alter table {} replica identity using index {}").format(
                    qualified(self.existing.name), sql.Identifier(name)
                )

    def _passing(self, number: int) -> sql.Identifier:
        return sql.Identifier(f"tranship_index_{self.existing.oid}_{number}")

    def _after_using(self, name: str, definition: str) -> str:
        """What follows the table's name in an index definition: method, columns, options."""
        head, using, tail = definition.partition(" USING ")
        # A table's name may itself contain the word; the true one follows the quoted table name.
        while using and head.count('"') % 2:
            more, using, tail = tail.partition(" USING ")
            head = f"{head} USING {more}"
        if not using:
            raise WriteFailedError(
                f"The definition of index {name!r} of {self.existing.name} was not understood: {definition}",
                "Drop the index, run the write, and create it again.",
            )
        return tail


def attachments_of(
    cursor: SqlCursor,
    existing: PostgresTable,
    *,
    without_indexes: Collection[str] = (),
    without_columns: Collection[str] = (),
) -> Attachments:
    """Read what hangs on a table. All names in it are qualified.

    Args:
        cursor: Of the transaction that will hang it elsewhere.
        existing: The table.
        without_indexes: Indexes that shall not go on.
        without_columns: Columns that shall not, with all that stands on them.
    """
    cursor.execute("select current_setting('search_path'), set_config('search_path', '', true)")
    (search_path, _) = cursor.fetchone() or ("", "")
    oid = sql.Literal(existing.oid)

    def rows(query: str) -> list[tuple[Any, ...]]:
        cursor.execute(sql.SQL(query).format(oid))
        return cursor.fetchall()

    ((owner, unlogged, tablespace, identity, options, toast_options, comment),) = rows(_RELATION)
    attached = Attachments(
        existing=existing,
        owner=owner,
        unlogged=unlogged,
        tablespace=tablespace,
        replica_identity=identity,
        options=options or [],
        toast_options=toast_options or [],
        comment=comment,
        indexes=rows(_INDEXES),
        foreign_keys=rows(_FOREIGN_KEYS),
        grants=rows(_GRANTS),
        views=rows(_VIEWS),
        sequences=rows(_SEQUENCES),
        column_settings=rows(_COLUMN_SETTINGS),
    )
    left_out: set[tuple[Any, ...]] = {("i", name) for name in without_indexes}
    if without_columns:
        cursor.execute(sql.SQL(_ON_COLUMNS).format(oid, oid), {"columns": list(without_columns)})
        left_out.update(cursor.fetchall())
    cursor.execute("select set_config('search_path', %s, true)", (search_path,))
    return _without(attached, left_out, without_columns)


def _without(
    attached: Attachments, objects: set[tuple[Any, ...]], columns: Collection[str]
) -> Attachments:
    """The same without some indexes (`i`) and foreign keys (`f`), and without what is said of some columns."""
    return replace(
        attached,
        indexes=[row for row in attached.indexes if ("i", row[0]) not in objects],
        foreign_keys=[row for row in attached.foreign_keys if ("f", row[0]) not in objects],
        grants=[row for row in attached.grants if row[0] not in columns],
        sequences=[row for row in attached.sequences if row[-1] not in columns],
        column_settings=[row for row in attached.column_settings if row[0] not in columns],
    )


def fingerprint(cursor: SqlCursor, oid: int) -> str:
    """A text that changes when somebody alters the table's structure."""
    cursor.execute(sql.SQL(_FINGERPRINT).format(sql.Literal(oid)))
    (digest,) = cursor.fetchone() or ("",)
    return digest


def _option(setting: str) -> sql.Composable:
    """`fillfactor=70` as it stands in a statement."""
    name, _, value = setting.partition("=")
    return sql.SQL("{} = {}").format(
        sql.SQL(".").join(map(sql.Identifier, name.split("."))), sql.Literal(value)
    )


def _grantee(everyone: bool, role: str) -> sql.Composable:
    return sql.SQL("public") if everyone else sql.Identifier(role)


def _comment_on_constraint(name: str, table: TableName, comment: str) -> sql.Composable:
    return sql.SQL("comment on constraint {} on {} is {}").format(
        sql.Identifier(name), qualified(table), sql.Literal(comment)
    )
