"""MERGE to DuckDB's, with T-SQL's assignment rules, OUTPUT and Change Tracking.

docs/t-sql/statements/merge-transact-sql.md of MicrosoftDocs/sql-docs.
"""

from dataclasses import replace

from sqlglot import exp

from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition
from standins.sqlserver.cdc.recording import CapturedChange, merge_images
from standins.sqlserver.changes import NEXT_VERSION, Change, Changes, source_of
from standins.sqlserver.conversions import assign
from standins.sqlserver.dialect import only
from standins.sqlserver.errors import SqlError, unknown_column, unsupported
from standins.sqlserver.expressions import Scope, SourceColumn
from standins.sqlserver.locks.changing import RowChange
from standins.sqlserver.locks.row_keys import key_columns
from standins.sqlserver.tracking.recording import ACTION, TrackedChange
from standins.sqlserver.typed import identifier
from standins.sqlserver.types import nvarchar


class Merges(Changes):
    """Translates MERGE, and all the statements that `Changes` knows."""

    def merge(self, node: exp.Merge) -> Change:
        """MERGE of a table with any source."""
        only(node, "this", "using", "on", "whens", "returning", "with_", "hint", "options")
        around = Scope()
        prefix = self.with_clause(node, around)
        table = self.target(node.this)
        alias = node.this.alias or table.name
        source = Scope(parent=around)
        using = self.source(node.args["using"], source)
        target = Scope([source_of(table, alias)], around)
        both = Scope([*target.sources, *source.sources], around)
        text = f"{prefix}merge into {table.sql} as {identifier(alias)} using {using} on {self.condition(node.args['on'], both)}"
        updated: list[list[str]] = []
        makes_identity = False
        for when in node.args["whens"].expressions:
            scope = both if when.args["matched"] else target if when.args.get("source") else source
            action = when.args["then"]
            text += _when(when)
            if (condition := when.args.get("condition")) is not None:
                text += f" and {self.condition(condition, scope)}"
            if isinstance(action, exp.Update):
                updated.append([item.this.name for item in action.expressions])
                text += f" then update set {self._set(table, action, scope)}"
            elif isinstance(action, exp.Insert):
                inserted, makes = self._inserted(table, action, scope)
                makes_identity = makes_identity or makes
                text += f" then insert {inserted}"
            else:
                text += " then delete"
        output = self._merge_output(node, table)
        tracked = self._tracked_merge(table, updated)
        if tracked is not None or self.environment.session.transaction_depth:
            output = ([*output[0], f"merge_action as {ACTION}"], output[1])
        keys = {column.name.lower() for column in key_columns(table)}
        moves = any(name.lower() in keys for names in updated for name in names)
        changed = RowChange(table, "M", moves=moves)
        captured = self._captured_merge(table, updated)
        return self.change(
            text, changed, output, tracked, captured=captured, makes_identity=makes_identity
        )

    def _set(self, table: TableDefinition, action: exp.Update, scope: Scope) -> str:
        texts = self.assignments(table, action.expressions, scope)
        if table.rowversion:
            texts.append(f"{identifier(table.rowversion.name)} = {NEXT_VERSION}")
        return ", ".join(texts)

    def _inserted(
        self, table: TableDefinition, action: exp.Insert, scope: Scope
    ) -> tuple[str, bool]:
        """The columns and values of WHEN NOT MATCHED THEN INSERT; whether they draw an identity."""
        named = action.this.expressions if action.this is not None else []
        targets = self.targets(table, [item.name for item in named])
        values = action.expression.expressions if action.expression is not None else []
        if len(values) != len(targets):
            raise SqlError(
                213, "Column name or number of supplied values does not match table definition."
            )
        filled: dict[str, str] = {
            column.name: self._assigned(table, column, value, scope)
            for column, value in zip(targets, values, strict=True)
        }
        stored = [column for column in table.columns if column.computed is None]
        names = ", ".join(identifier(column.name) for column in stored)
        texts = ", ".join(
            filled.get(column.name) or self.filler(table, column) for column in stored
        )
        makes_identity = table.identity is not None and table.identity.name not in filled
        return f"({names}) values ({texts})", makes_identity

    def _assigned(
        self, table: TableDefinition, column: ColumnDefinition, value: exp.Expr, scope: Scope
    ) -> str:
        if isinstance(value, exp.Var) and str(value.this).upper() == "DEFAULT":
            return self.filler(table, column)
        return assign(self.value(value, scope), column.type, self.long_name(table), column.name)

    def _merge_output(
        self, node: exp.Merge, table: TableDefinition
    ) -> tuple[list[str], tuple[SourceColumn, ...]]:
        """OUTPUT of `$action` and of columns of `inserted`."""
        clause = node.args.get("returning")
        texts: list[str] = []
        columns: list[SourceColumn] = []
        if clause is not None and clause.args.get("into"):
            raise unsupported("OUTPUT INTO")
        for item in clause.expressions if clause is not None else []:
            inner = item.this if isinstance(item, exp.Alias) else item
            name = item.alias if isinstance(item, exp.Alias) else inner.name
            if isinstance(inner, exp.Column) and not inner.table and inner.name == "$action":
                texts.append("merge_action")
                columns.append(SourceColumn(name, nvarchar(10)))
                continue
            if not isinstance(inner, exp.Column) or inner.table.lower() != "inserted":
                raise unsupported(f"{item.sql(dialect='tsql')[:80]} in OUTPUT of MERGE")
            column = table.column(inner.name)
            if column is None:
                raise unknown_column(inner.name)
            texts.append(f"case when merge_action <> 'DELETE' then {identifier(column.name)} end")
            columns.append(SourceColumn(name, column.type))
        return texts, tuple(columns)

    def _tracked_merge(
        self, table: TableDefinition, updated: list[list[str]]
    ) -> TrackedChange | None:
        updates = [self.tracked_update(table, names) for names in updated]
        if any(update is not None and update.operation == "I" for update in updates):
            raise unsupported("MERGE that sets a column of the key of a table that is tracked")
        tracked = self.tracked(table, "M")
        if tracked is None or len(updates) != 1 or updates[0] is None:
            # Which of several clauses changed a row is not known here, so no columns are named.
            return tracked
        return replace(tracked, columns=updates[0].columns)

    def _captured_merge(
        self, table: TableDefinition, updated: list[list[str]]
    ) -> CapturedChange | None:
        if self.captured(table, "M") is None:
            return None
        keys = {column.name.lower() for column in table.key_columns}
        if not keys or any(name.lower() in keys for names in updated for name in names):
            raise unsupported("MERGE that changes the key of a captured table, or of one without")
        return merge_images(table)


def _when(when: exp.When) -> str:
    if when.args["matched"]:
        return " when matched"
    return f" when not matched by {'source' if when.args.get('source') else 'target'}"
