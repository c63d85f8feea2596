"""INSERT, UPDATE, DELETE and TRUNCATE to DuckDB, with T-SQL's assignment rules, identity and rowversion columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition
from standins.sqlserver.cdc import errors as cdc_errors
from standins.sqlserver.cdc.recording import (
    CapturedChange,
    keys_text,
    update_through_images,
)
from standins.sqlserver.conversions import assign, convert
from standins.sqlserver.dialect import only, parse
from standins.sqlserver.errors import SqlError, unknown_column, unknown_object, unsupported
from standins.sqlserver.expressions import Scope, Source, SourceColumn
from standins.sqlserver.locks.changing import RowChange
from standins.sqlserver.locks.reads import Access
from standins.sqlserver.locks.row_keys import LOCKED_KEYS, key_columns, key_text, stored_columns
from standins.sqlserver.locks.seeks import narrow
from standins.sqlserver.names import object_name
from standins.sqlserver.queries import Queries
from standins.sqlserver.tracking import definitions as tracking_definitions
from standins.sqlserver.tracking.recording import TRACKED_KEYS, TrackedChange
from standins.sqlserver.typed import NULL, Typed, identifier

NEXT_VERSION = "t_version(nextval('standin.rowversions'))"


@dataclass(frozen=True, slots=True)
class Change:
    """A translated statement that changes rows of one table.

    Args:
        sql: DuckDB text.
        table: the table.
        makes_identity: whether it draws numbers of an identity column.
        output: the columns that OUTPUT asked for, the first of those that `sql` returns.
        rows: which rows it changes.
        tracked: what Change Tracking records; the keys are in a column `TRACKED_KEYS` of what `sql` returns.
        captured: what Change Data Capture records.
        gives_identity: whether it gives an identity column its values without IDENTITY_INSERT, as a bulk load does.
        also: statements that belong to it and run behind it.
    """

    sql: str
    table: TableDefinition
    makes_identity: bool = False
    output: tuple[SourceColumn, ...] = ()
    rows: RowChange | None = None
    tracked: TrackedChange | None = None
    captured: CapturedChange | None = None
    gives_identity: bool = False
    also: tuple[str, ...] = ()


def source_of(table: TableDefinition, alias: str = "") -> Source:
    """A table as an entry of FROM."""
    columns = tuple(
        SourceColumn(column.name, column.type, column.nullable) for column in table.columns
    )
    return Source(alias or table.name, columns, table)


class Changes(Queries):
    """Translates the statements that change rows."""

    def target(self, node: exp.Expr) -> TableDefinition:
        """The table that a statement changes.

        Raises:
            SqlError: 208; system views cannot be changed.
        """
        name = object_name(node, self.environment.session)
        table = name.find(self.environment.catalogue)
        if table is None:
            raise unknown_object(name.written)
        if table.is_view:
            raise SqlError(259, "Ad hoc updates to system catalogs are not allowed.")
        self.environment.session.check_snapshot(table.full_name)
        return table

    def change(
        self,
        text: str,
        rows: RowChange,
        output: tuple[list[str], tuple[SourceColumn, ...]],
        tracked: TrackedChange | None,
        *,
        captured: CapturedChange | None = None,
        makes_identity: bool = False,
    ) -> Change:
        """A change with what it returns: what OUTPUT asked for, what is tracked and captured, and what locks need to know."""
        texts, columns = output
        table, transactions = rows.table, self.environment.session.transactions
        if tracked is not None:
            texts = [*texts, f"{keys_text(table)} as {TRACKED_KEYS}"]
        if captured is not None:
            texts = [*texts, *captured.returned]
        returns_rows = bool(transactions.depth)
        if returns_rows or (transactions.is_watched and rows.operation != "I"):
            texts = [*texts, f"{key_text(table)} as {LOCKED_KEYS}"]
            if returns_rows:
                texts += [identifier(column.name) for column in stored_columns(table)]
            rows = replace(rows, returns_keys=True, returns_rows=returns_rows)
        returning = f" returning {', '.join(texts)}" if texts else ""
        return Change(text + returning, table, makes_identity, columns, rows, tracked, captured)

    def going(self, table: TableDefinition, alias: str, prefix: str, condition: str) -> str:
        """A query for the rows that a condition chooses: their keys, and where there is none the rows."""
        chosen = [f"{key_text(table)} as {LOCKED_KEYS}"]
        if not key_columns(table):
            chosen += [identifier(column.name) for column in stored_columns(table)]
        return f"{prefix}select {', '.join(chosen)} from {table.sql} as {identifier(alias)} where {condition}"

    def captured(self, table: TableDefinition, operation: str) -> CapturedChange | None:
        """What Change Data Capture records of a change, None where the table is not captured."""
        is_captured = self.environment.session.recorder.captured.captures(table.object_id)
        return CapturedChange(table, operation) if is_captured else None

    def tracked(
        self, table: TableDefinition, operation: str, columns: tuple[int, ...] | None = None
    ) -> TrackedChange | None:
        """What Change Tracking records of a change, None where the table is not tracked."""
        tracked = self.environment.session.recorder.of(table.object_id)
        if tracked is None:
            return None
        recorded = columns if tracked.columns else None
        return TrackedChange(table.object_id, tracked, operation, recorded)

    # -- insert
    def insert(self, node: exp.Insert) -> Change:
        """INSERT of values, of a query, or DEFAULT VALUES."""
        only(node, "this", "expression", "returning", "with_", "default")
        scope = Scope()
        prefix = self.with_clause(node, scope)
        schema = node.this
        named = schema.expressions if isinstance(schema, exp.Schema) else []
        table = self.target(schema.this if isinstance(schema, exp.Schema) else schema)
        explicit = self.targets(table, [item.name for item in named])
        body = node.expression
        if body is None:
            rows, values = "", []
            explicit = []
        elif isinstance(body, exp.Values):
            rows, values = self._rows(table, body, explicit, scope)
        else:
            query = self.query(body, scope)
            self._check_count(len(query.columns), len(explicit))
            rows = (
                f" from ({query.sql}) v({', '.join(f'c{index}' for index in range(len(explicit)))})"
            )
            values = [
                assign(
                    Typed(f"v.c{index}", column.type, column.nullable),
                    target.type,
                    self.long_name(table),
                    target.name,
                )
                for index, (column, target) in enumerate(zip(query.columns, explicit, strict=True))
            ]
        filled = {target.name: value for target, value in zip(explicit, values, strict=True)}
        names, texts = [], []
        for column in table.columns:
            if column.computed is not None:
                continue
            names.append(identifier(column.name))
            texts.append(filled.get(column.name) or self.filler(table, column))
        makes_identity = table.identity is not None and table.identity.name not in filled
        text = (
            f"{prefix}insert into {table.sql} ({', '.join(names)}) select {', '.join(texts)}{rows}"
        )
        output = self._output_clause(node, table, "inserted")
        tracked, captured = self.tracked(table, "I"), self.captured(table, "I")
        given = dict(zip(names, texts, strict=True))
        changed = RowChange(table, "I", coming=self.coming(table, given, prefix, rows))
        return self.change(
            text, changed, output, tracked, captured=captured, makes_identity=makes_identity
        )

    @staticmethod
    def coming(table: TableDefinition, given: dict[str, str], prefix: str, rows: str) -> str:
        """A query for the keys of the rows that an INSERT puts there; empty where an identity gives them, which nobody else can have."""
        columns = key_columns(table)
        values = [given.get(identifier(column.name), "") for column in columns]
        if not values or any(not value or "nextval(" in value for value in values):
            return ""
        return f"{prefix}select {key_text(table, values)} as {LOCKED_KEYS}{rows}"

    def _output_clause(
        self, node: exp.Expr, table: TableDefinition, pseudo: str
    ) -> tuple[list[str], tuple[SourceColumn, ...]]:
        """OUTPUT of plain columns of `inserted` or `deleted`."""
        clause = node.args.get("returning")
        if clause is None:
            return [], ()
        if clause.args.get("into"):
            raise unsupported("OUTPUT INTO")
        texts, columns = [], []
        for item in clause.expressions:
            inner = item.this if isinstance(item, exp.Alias) else item
            if not isinstance(inner, exp.Column) or inner.table.lower() != pseudo:
                raise unsupported(f"{item.sql(dialect='tsql')[:80]} in OUTPUT")
            chosen = (
                table.columns if isinstance(inner.this, exp.Star) else [table.column(inner.name)]
            )
            for column in chosen:
                if column is None:
                    raise unknown_column(inner.name)
                texts.append(identifier(column.name))
                columns.append(
                    SourceColumn(
                        item.alias if isinstance(item, exp.Alias) else column.name,
                        column.type,
                        column.nullable,
                    )
                )
        return texts, tuple(columns)

    def long_name(self, table: TableDefinition) -> str:
        """Database, schema and table, for messages."""
        return f"{self.environment.session.database}.{table.full_name}"

    def targets(self, table: TableDefinition, names: list[str]) -> list[ColumnDefinition]:
        """The columns that an INSERT gives values for, by the names it has; all that can have one where it has none."""
        if not names:
            return [
                c
                for c in table.columns
                if c.computed is None and c.identity is None and c.type.name != "rowversion"
            ]
        targets = []
        for name in names:
            column = table.column(name)
            if column is None:
                raise unknown_column(name)
            if column.computed is not None:
                raise SqlError(
                    271,
                    f'The column "{column.name}" cannot be modified because it is either a computed column or is the result of a UNION operator.',
                )
            if column.type.name == "rowversion":
                raise SqlError(
                    273,
                    "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.",
                )
            if column.identity and self.environment.session.identity_insert != table.object_id:
                raise SqlError(
                    544,
                    f"Cannot insert explicit value for identity column in table '{table.name}' when IDENTITY_INSERT is set to OFF.",
                )
            targets.append(column)
        return targets

    @staticmethod
    def _check_count(given: int, wanted: int) -> None:
        if given > wanted:
            raise SqlError(
                121,
                "The select list for the INSERT statement contains more items than the insert list. The number of SELECT values must match the number of INSERT columns.",
                15,
            )
        if given < wanted:
            raise SqlError(
                120,
                "The select list for the INSERT statement contains fewer items than the insert list. The number of SELECT values must match the number of INSERT columns.",
                15,
            )

    def _rows(
        self,
        table: TableDefinition,
        body: exp.Values,
        targets: list[ColumnDefinition],
        scope: Scope,
    ) -> tuple[str, list[str]]:
        """VALUES: each value is assigned to its column's type before the rows come together."""
        lines = []
        for row in body.expressions:
            items = row.expressions if isinstance(row, exp.Tuple) else [row]
            if len(items) != len(targets):
                raise SqlError(
                    213, "Column name or number of supplied values does not match table definition."
                )
            texts = []
            for item, column in zip(items, targets, strict=True):
                if isinstance(item, exp.Var) and str(item.this).upper() == "DEFAULT":
                    texts.append(self.filler(table, column))
                else:
                    texts.append(
                        assign(
                            self.value(item, scope), column.type, self.long_name(table), column.name
                        )
                    )
            lines.append(f"({', '.join(texts)})")
        names = [f"c{index}" for index in range(len(targets))]
        return f" from (values {', '.join(lines)}) v({', '.join(names)})", [
            f"v.{name}" for name in names
        ]

    def filler(self, table: TableDefinition, column: ColumnDefinition) -> str:
        """The value of a column that INSERT does not name."""
        if column.identity:
            return f"cast(nextval('{table.sequence}') as {column.type.storage})"
        if column.type.name == "rowversion":
            return NEXT_VERSION
        if column.default is not None:
            default = self.value(parse(f"select {column.default}").expressions[0], Scope())
            return assign(default, column.type, self.long_name(table), column.name)
        return convert(NULL, column.type).sql

    # -- update, delete
    def update(self, node: exp.Update) -> Change:
        """UPDATE, with FROM and joins where given."""
        only(
            node, "this", "expressions", "from_", "where", "returning", "with_", "joins", "options"
        )
        scope = Scope()
        prefix = self.with_clause(node, scope)
        table, source, sources = self._changed(
            node.this, node.args.get("from_"), node.args.get("joins"), scope
        )
        assignments = self.assignments(table, node.expressions, scope)
        if table.rowversion:
            assignments.append(f"{identifier(table.rowversion.name)} = {NEXT_VERSION}")
        where = node.args.get("where")
        condition = self.condition(where.this, scope) if where else "true"
        if sources:
            # Through the row id, so that a row that joins twice is changed once, as in T-SQL.
            raise unsupported("UPDATE with several tables in FROM")
        text = f"{prefix}update {table.sql} as {identifier(source)} set {', '.join(assignments)} where {condition}"
        output = self._output_clause(node, table, "inserted")
        tracked = self.tracked_update(table, [item.this.name for item in node.expressions])
        if tracked is not None and tracked.operation == "I":
            keys = f"{prefix}select {keys_text(table)} as {TRACKED_KEYS} from {table.sql} as {identifier(source)} where {condition}"
            tracked = replace(tracked, old_keys=keys)
        given = dict(assignment.split(" = ", 1) for assignment in assignments)
        key = [identifier(column.name) for column in key_columns(table)]
        going = self.going(table, source, prefix, condition)
        changed = RowChange(table, "U", self._scan(table, where, scope), going)
        if any(name in given for name in key):
            values = {name: given.get(name, name) for name in key}
            rows = f" from {table.sql} as {identifier(source)} where {condition}"
            coming = self.coming(table, values, prefix, rows)
            changed = replace(changed, coming=coming, moves=True)
        captured = self.captured(table, "U")
        if captured is not None:
            captured, text = update_through_images(table, source, assignments, prefix, condition)
        return self.change(text, changed, output, tracked, captured=captured)

    def _scan(self, table: TableDefinition, where: exp.Where | None, scope: Scope) -> Access:
        """How a statement looks for the rows that it changes."""
        scan = Access(table, scope.sources[0])
        narrow([scan], where.this if where else None, scope, self)
        return scan

    def assignments(
        self, table: TableDefinition, items: Sequence[exp.Expr], scope: Scope
    ) -> list[str]:
        """What stands behind SET."""
        assignments = []
        for item in items:
            if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
                raise unsupported("this SET clause of UPDATE")
            column = table.column(item.this.name)
            if column is None:
                raise unknown_column(item.this.name)
            if column.identity:
                raise SqlError(8102, f"Cannot update identity column '{column.name}'.")
            if column.type.name == "rowversion":
                raise SqlError(272, "Cannot update a timestamp column.")
            if (
                isinstance(item.expression, exp.Var)
                and str(item.expression.this).upper() == "DEFAULT"
            ):
                text = self.filler(table, column)
            else:
                text = assign(
                    self.value(item.expression, scope),
                    column.type,
                    self.long_name(table),
                    column.name,
                )
            assignments.append(f"{identifier(column.name)} = {text}")
        return assignments

    def tracked_update(self, table: TableDefinition, names: list[str]) -> TrackedChange | None:
        """An update that sets a column of the key, even to what it was, takes rows away and puts others there."""
        columns = {column.column_id for name in names if (column := table.column(name))}
        keys = {column.column_id for column in table.key_columns}
        if columns & keys:
            return self.tracked(table, "I")
        if table.rowversion:
            columns.add(table.rowversion.column_id)
        others = {column.column_id for column in table.columns if column.computed is None} - keys
        return self.tracked(table, "U", None if columns >= others else tuple(sorted(columns)))

    def delete(self, node: exp.Delete) -> Change:
        """DELETE, with FROM and joins where given."""
        tables = node.args.get("tables") or []
        only(node, "this", "where", "returning", "with_", "tables", "using", "options")
        if any(table.args.get("alias") for table in tables):
            raise unsupported("TOP in DELETE")
        scope = Scope()
        prefix = self.with_clause(node, scope)
        table, source, sources = self._changed(node.this, None, None, scope)
        where = node.args.get("where")
        condition = self.condition(where.this, scope) if where else "true"
        if sources or node.args.get("using") or tables or node.this.args.get("joins"):
            raise unsupported("DELETE with several tables in FROM")
        output = self._output_clause(node, table, "deleted")
        text = f"{prefix}delete from {table.sql} as {identifier(source)} where {condition}"
        going = self.going(table, source, prefix, condition)
        changed = RowChange(table, "D", self._scan(table, where, scope), going)
        tracked, captured = self.tracked(table, "D"), self.captured(table, "D")
        return self.change(text, changed, output, tracked, captured=captured)

    def _changed(
        self, node: exp.Expr, from_: exp.From | None, joins: object, scope: Scope
    ) -> tuple[TableDefinition, str, bool]:
        """The changed table, its alias, and whether there are other sources."""
        if from_ is None:
            table = self.target(node)
            scope.sources.append(source_of(table, node.alias))
            return table, node.alias or table.name, False
        first = from_.this
        if joins or not isinstance(first, exp.Table) or first.args.get("joins"):
            return self.target(node if isinstance(node, exp.Table) else first), "", True
        table = self.target(first)
        alias = first.alias or table.name
        if node.name.lower() not in {alias.lower(), table.name.lower()}:
            return table, "", True
        scope.sources.append(source_of(table, alias))
        return table, alias, False

    def truncate(self, node: exp.TruncateTable) -> Change:
        """TRUNCATE TABLE; that it starts the identity again is done where it is run."""
        table = self.target(node.expressions[0])
        if self.captured(table, "D") is not None:
            raise cdc_errors.truncate_refused(table.name)
        also = tracking_definitions.begin_anew(table, self.environment.session)
        return Change(f"delete from {table.sql}", table, also=also)
