"""FROM to DuckDB: tables, system views, derived tables, VALUES, joins; what each brings into scope."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from standins.sqlserver import system_functions
from standins.sqlserver.catalogue import TableDefinition
from standins.sqlserver.cdc.definitions import SCHEMA as CDC
from standins.sqlserver.cdc.functions import ALL_CHANGES, all_changes
from standins.sqlserver.conditions import Conditions
from standins.sqlserver.conversions import convert
from standins.sqlserver.dialect import Literal, only
from standins.sqlserver.errors import SqlError, unknown_object, unsupported
from standins.sqlserver.expressions import Scope, Source, SourceColumn
from standins.sqlserver.locks.reads import access, passing
from standins.sqlserver.names import object_name
from standins.sqlserver.system_views import counted_view
from standins.sqlserver.tracking.permissions import VIEWS_OF_STATE, check_sees_state
from standins.sqlserver.tracking.sources import NAME as CHANGETABLE
from standins.sqlserver.tracking.sources import changetable
from standins.sqlserver.typed import common_type, identifier
from standins.sqlserver.types import INT


@dataclass(frozen=True, slots=True)
class Query:
    """A translated query: DuckDB text, and the columns as the client sees them."""

    sql: str
    columns: tuple[SourceColumn, ...]


_JOINS = {
    "": "join",
    "INNER": "join",
    "LEFT": "left join",
    "RIGHT": "right join",
    "FULL": "full join",
    "CROSS": "cross join",
}


def _is_changetable(node: object) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == CHANGETABLE


class Sources(Conditions):
    """Translates the entries of FROM into text and scope."""

    def query(self, node: exp.Expr, parent: Scope | None = None) -> Query:
        """A whole query; `queries.Queries` knows how."""
        raise NotImplementedError

    def join(self, node: exp.Join, scope: Scope) -> str:
        """One JOIN with its condition."""
        only(node, "this", "side", "kind", "on", "hint")
        if isinstance(node.this, exp.Lateral):
            if _is_changetable(node.this.this):
                return self._applied(node.this, scope)
            raise unsupported(f"this join: {node.sql(dialect=Literal)[:100]}")
        word = _JOINS.get(node.side or node.kind or "")
        if word is None or (node.side and node.kind not in {"", "OUTER"}):
            raise unsupported(f"{node.side} {node.kind} JOIN")
        target = self.source(node.this, scope)
        condition = node.args.get("on")
        if condition is None:
            return f" cross join {target}"
        return f" {word} {target} on {self.condition(condition, scope)}"

    def source(self, node: exp.Expr, scope: Scope) -> str:
        """One entry of FROM; it joins the sources of `scope`."""
        if isinstance(node, exp.Subquery):
            return self._derived(node, scope)
        if isinstance(node, exp.Values):
            return self._values_source(node, scope)
        if isinstance(node, exp.Paren):
            return f"({self.source(node.this, scope)})"
        if not isinstance(node, exp.Table):
            raise unsupported(f"{type(node).__name__} in FROM")
        if (
            node.args.get("pivots")
            or node.args.get("sample")
            or node.args.get("when")
            or node.args.get("version")
        ):
            raise unsupported("PIVOT, TABLESAMPLE and FOR SYSTEM_TIME")
        alias = node.alias
        if _is_changetable(node.this):
            return self._changetable(node, scope, Scope(parent=scope.parent)) + self._joined(
                node, scope
            )
        if isinstance(node.this, exp.Anonymous):
            called = node.this.name
            if node.db.lower() == CDC and called.lower().startswith(ALL_CHANGES):
                text, columns = all_changes(called, node.this.expressions, self)
                return self._add(scope, alias or called, columns, text) + self._joined(node, scope)
            text, columns = system_functions.table_function(called)
            return self._add(scope, alias or called, columns, text)
        if not node.db and (found := scope.cte(node.name)) is not None:
            return self._add(
                scope, alias or node.name, found, identifier(node.name)
            ) + self._joined(node, scope)
        name = object_name(node, self.environment.session)
        table = name.find(self.environment.catalogue)
        if table is None:
            raise unknown_object(name.written)
        self._check_access(table)
        columns = tuple(
            SourceColumn(column.name, column.type, column.nullable, column.identity is not None)
            for column in table.columns
        )
        read = access(table, node)
        text = counted_view(table, self.environment.catalogue) or passing(read) or table.sql
        text = self._add(scope, alias or table.name, columns, text, table)
        read.source = scope.sources[-1]
        self.environment.accesses.append(read)
        return text + self._joined(node, scope)

    def _check_access(self, table: TableDefinition) -> None:
        session = self.environment.session
        if not table.is_view:
            session.check_snapshot(table.full_name)
        elif table.schema == CDC and not session.store.capture.is_enabled:
            raise unknown_object(table.full_name)
        elif table.full_name.lower() in VIEWS_OF_STATE:
            check_sees_state(session.home_database, self.environment.catalogue)

    def _changetable(self, node: exp.Expr, scope: Scope, values: Scope) -> str:
        """CHANGETABLE with its alias; `values` is what its arguments may name."""
        given = node.args.get("alias")
        alias = given.name if given else ""
        source = changetable(node.this, alias, self, values)
        names = [column.name for column in given.columns] if given else []
        if not names:
            return self._add(scope, alias, source.columns, source.sql)
        if len(names) != len(source.columns):
            more, fewer = (8159, "fewer"), (8158, "more")
            number, word = more if len(names) > len(source.columns) else fewer
            raise SqlError(
                number, f"'{alias}' has {word} columns than were specified in the column list."
            )
        columns = [
            replace(column, name=name) for column, name in zip(source.columns, names, strict=True)
        ]
        text = self._add(scope, alias, columns, source.sql)
        return f"{text}({', '.join(identifier(name) for name in names)})"

    def _applied(self, node: exp.Lateral, scope: Scope) -> str:
        """CROSS APPLY and OUTER APPLY of CHANGETABLE(VERSION ...), whose values come from the row beside it."""
        text = self._changetable(node, scope, Scope(list(scope.sources), scope.parent, scope.ctes))
        if node.args.get("cross_apply"):
            return f" cross join lateral {text}"
        return f" left join lateral {text} on true"

    def _joined(self, node: exp.Expr, scope: Scope) -> str:
        return "".join(self.join(join, scope) for join in node.args.get("joins") or [])

    def _add(
        self,
        scope: Scope,
        alias: str,
        columns: Sequence[SourceColumn],
        text: str,
        table: TableDefinition | None = None,
    ) -> str:
        if any(source.alias.lower() == alias.lower() for source in scope.sources):
            raise SqlError(
                1013,
                f"The objects '{alias}' and '{alias}' in the FROM clause have the same exposed names. Use correlation names to distinguish them.",
                15,
            )
        scope.sources.append(Source(alias, tuple(columns), table))
        return f"{text} as {identifier(alias)}"

    def _derived(self, node: exp.Subquery, scope: Scope) -> str:
        only(node, "this", "alias", "joins")
        if isinstance(node.this, exp.Table):
            return f"({self.source(node.this, scope)}{self._joined(node, scope)})"
        # A derived table does not see its neighbours in FROM, only the queries around.
        inner = self.query(node.this, Scope(parent=scope.parent, ctes=scope.ctes))
        alias = node.args.get("alias")
        given = [column.name for column in alias.columns] if alias else []
        names = given or [column.name for column in inner.columns]
        if alias is None or "" in names:
            raise SqlError(
                8155,
                "No column name was specified for a column of a derived table, or the derived table has no alias.",
            )
        columns = [
            SourceColumn(name, column.type, column.nullable)
            for name, column in zip(names, inner.columns, strict=True)
        ]
        listed = ", ".join(identifier(name) for name in names)
        text = self._add(scope, alias.name, columns, f"({inner.sql})")
        return f"{text}({listed})" + self._joined(node, scope)

    def _values_source(self, node: exp.Values, scope: Scope) -> str:
        rows = [[self.value(item, scope) for item in row.expressions] for row in node.expressions]
        alias = node.args["alias"]
        names = [column.name for column in alias.columns]
        kinds = [
            common_type([row[index].type for row in rows]) or INT for index in range(len(names))
        ]
        texts = ", ".join(
            "("
            + ", ".join(convert(value, kind).sql for value, kind in zip(row, kinds, strict=True))
            + ")"
            for row in rows
        )
        columns = [SourceColumn(name, kind) for name, kind in zip(names, kinds, strict=True)]
        text = self._add(scope, alias.name, columns, f"(values {texts})")
        return f"{text}({', '.join(identifier(name) for name in names)})"
