"""SELECT to DuckDB: select list, grouping, order, TOP and OFFSET/FETCH, UNION, common table expressions, subqueries."""

from collections.abc import Sequence

from sqlglot import exp

from standins.sqlserver import aggregates, collations, system_functions
from standins.sqlserver.conversions import convert
from standins.sqlserver.date_functions import DATE_FUNCTIONS
from standins.sqlserver.dialect import only
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import Scope, Source, SourceColumn
from standins.sqlserver.functions import FUNCTIONS, Call
from standins.sqlserver.locks.seeks import narrow
from standins.sqlserver.sources import Query, Sources
from standins.sqlserver.text_functions import TEXT_FUNCTIONS
from standins.sqlserver.typed import Typed, common_type, identifier
from standins.sqlserver.types import BIGINT, INT

_SELECT_CLAUSES = (
    "with_", "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct", "options", "hint",
)  # fmt: skip


class Queries(Sources):
    """Translates queries; one instance per statement."""

    # -- what expressions leave to queries
    def call(self, name: str, arguments: Sequence[exp.Expr], scope: Scope) -> Typed:
        """A function, aggregate or @@variable."""
        call = Call(name, arguments, self, scope)
        folded = name.lower()
        if folded in aggregates.AGGREGATES:
            return self._aggregate(call, lambda text: text)
        handler = (
            FUNCTIONS.get(folded)
            or TEXT_FUNCTIONS.get(folded)
            or DATE_FUNCTIONS.get(folded)
            or system_functions.SYSTEM_FUNCTIONS.get(folded)
        )
        if handler is None:
            if name.startswith("@@"):
                raise unsupported(name)
            raise SqlError(
                195,
                f"'{name}' is not a recognized built-in function name, or the SQL Server stand-in does not support it.",
                15,
            )
        return handler(call)

    def window_call(self, node: exp.Window, scope: Scope) -> Typed:
        """An aggregate or ranking function with OVER."""
        function = node.this
        only(node, "this", "partition_by", "order", "spec", "over")
        if not isinstance(function, exp.Anonymous):
            raise unsupported(f"OVER with {function.sql(dialect='tsql')[:100]}")
        parts = []
        if partition := node.args.get("partition_by"):
            parts.append(
                "partition by "
                + ", ".join(_distinguished(self.value(item, scope)) for item in partition)
            )
        if node.args.get("order"):
            parts.append(self._order(node.args["order"], scope, ()))
        if frame := node.args.get("spec"):
            parts.append(frame.sql(dialect="duckdb"))
        window = f" over ({' '.join(parts)})"
        call = Call(str(function.this), function.expressions, self, scope)
        if call.name.lower() in aggregates.RANKINGS:
            return aggregates.ranking(call, lambda text: text + window)
        if call.name.lower() in aggregates.AGGREGATES:
            return self._aggregate(call, lambda text: text + window)
        raise unsupported(f"OVER with the function {call.name}")

    def _aggregate(self, call: Call, over: aggregates.Over) -> Typed:
        outside, self.inside_aggregate = self.inside_aggregate, True
        try:
            return aggregates.aggregate(call, over)
        finally:
            self.inside_aggregate = outside

    def subquery_text(self, node: exp.Expr, scope: Scope) -> tuple[str, list[SourceColumn]]:
        """A subquery in a condition."""
        query = self.query(node.this if isinstance(node, exp.Subquery) else node, scope)
        return query.sql, list(query.columns)

    def scalar_subquery(self, node: exp.Expr, scope: Scope) -> Typed:
        """A subquery as a value."""
        text, columns = self.subquery_text(node, scope)
        if len(columns) != 1:
            raise SqlError(
                116,
                "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
            )
        return Typed(f"({text})", columns[0].type)

    # -- queries
    def query(self, node: exp.Expr, parent: Scope | None = None) -> Query:
        """A SELECT, or several joined by UNION, EXCEPT, INTERSECT.

        Raises:
            SqlError: whatever is wrong with it, or not supported.
        """
        scope = Scope(parent=parent)
        prefix = self.with_clause(node, scope)
        if isinstance(node, exp.Subquery):
            inner = self.query(node.this, scope)
            return Query(prefix + inner.sql, inner.columns)
        if isinstance(node, exp.SetOperation):
            combined = self._set_operation(node, scope)
        elif isinstance(node, exp.Select):
            combined = self._select(node, scope)
        else:
            raise unsupported(f"{type(node).__name__} as a query")
        return Query(prefix + combined.sql, combined.columns)

    def with_clause(self, node: exp.Expr, scope: Scope) -> str:
        """`with ...` in front of a statement; its names become known in `scope`."""
        clause = node.args.get("with_")
        if clause is None:
            return ""
        parts = []
        for cte in clause.expressions:
            name = cte.alias
            if any(
                table.name.lower() == name.lower() and not table.db
                for table in cte.this.find_all(exp.Table)
            ):
                raise unsupported("recursive common table expressions")
            inner = self.query(cte.this, scope)
            names = [column.name for column in cte.args["alias"].columns] or [
                column.name for column in inner.columns
            ]
            columns = tuple(
                SourceColumn(new, column.type, column.nullable)
                for new, column in zip(names, inner.columns, strict=True)
            )
            scope.ctes[name.lower()] = columns
            parts.append(
                f"{identifier(name)}({', '.join(identifier(new) for new in names)}) as ({inner.sql})"
            )
        return f"with {', '.join(parts)} "

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> Query:
        only(node, "with_", "this", "expression", "distinct", "order", "limit", "offset", "options")
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        if len(left.columns) != len(right.columns):
            raise SqlError(
                205,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.",
            )
        kinds = [
            common_type([a.type, b.type]) or INT
            for a, b in zip(left.columns, right.columns, strict=True)
        ]
        columns = tuple(
            SourceColumn(column.name, kind)
            for column, kind in zip(left.columns, kinds, strict=True)
        )
        names = [f"c{index}" for index in range(len(kinds))]
        sides = []
        for side in (left, right):
            casts = ", ".join(
                f"{convert(Typed(f'u.{name}', column.type), kind).sql} as {identifier(out.name or name)}"
                for name, column, kind, out in zip(names, side.columns, kinds, columns, strict=True)
            )
            sides.append(f"select {casts} from ({side.sql}) u({', '.join(names)})")
        word = {exp.Union: "union", exp.Except: "except", exp.Intersect: "intersect"}[type(node)]
        text = f"({sides[0]}) {word}{'' if node.args.get('distinct') else ' all'} ({sides[1]})"
        if (
            node.args.get("distinct")
            and isinstance(node, exp.Union)
            and any(kind.is_string for kind in kinds)
        ):
            shown = [
                identifier(column.name or name) for name, column in zip(names, columns, strict=True)
            ]
            told_apart = ", ".join(
                _distinguished(Typed(f"u.{name}", kind))
                for name, kind in zip(shown, kinds, strict=True)
            )
            text = (
                f"select distinct on ({told_apart}) * from (({sides[0]}) union all ({sides[1]})) u"
            )
        outer = Scope([Source("u", columns)], scope)
        order = node.args.get("order")
        if order:
            text = f"select * from ({text}) u {self._order(order, outer, columns)}"
        return Query(text + self._limit(node, outer), columns)

    def _select(self, node: exp.Select, scope: Scope) -> Query:
        only(node, *_SELECT_CLAUSES)
        source = ""
        if node.args.get("from_"):
            source = " from " + self.source(node.args["from_"].this, scope)
        for join in node.args.get("joins") or []:
            source += self.join(join, scope)
        where = node.args.get("where")
        text = f" where {self.condition(where.this, scope)}" if where else ""
        narrow(self.environment.accesses, where.this if where else None, scope, self)
        if group := node.args.get("group"):
            if any(
                group.args.get(key) for key in ("grouping_sets", "cube", "rollup", "all", "totals")
            ):
                raise unsupported("GROUP BY with CUBE, ROLLUP or GROUPING SETS")
            values = [self.value(item, scope) for item in group.expressions]
            text += " group by " + ", ".join(_distinguished(value) for value in values)
            scope.grouped = {
                value.sql for value in values if value.type is not None and value.type.is_string
            }
        outputs: list[tuple[str, SourceColumn]] = []
        for item in node.expressions:
            outputs.extend(self._output(item, scope))
        if having := node.args.get("having"):
            text += f" having {self.condition(having.this, scope)}"
        columns = tuple(column for _, column in outputs)
        names = _output_names(columns)
        selected = ", ".join(
            f"{sql} as {identifier(name)}" for (sql, _), name in zip(outputs, names, strict=True)
        )
        order = node.args.get("order")
        if order:
            text += " " + self._order(order, scope, columns, [sql for sql, _ in outputs])
        distinct = "distinct " if node.args.get("distinct") else ""
        if distinct and any(column.type and column.type.is_string for column in columns):
            told_apart = ", ".join(
                _distinguished(Typed(sql, column.type)) for sql, column in outputs
            )
            distinct = f"distinct on ({told_apart}) "
        return Query(
            f"select {distinct}{selected}{source}{text}{self._limit(node, scope)}", columns
        )

    def _output(self, item: exp.Expr, scope: Scope) -> list[tuple[str, SourceColumn]]:
        """One entry of the select list; `*` gives several."""
        name = ""
        if isinstance(item, exp.Star) or (
            isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
        ):
            qualifier = item.table if isinstance(item, exp.Column) else ""
            if isinstance(item, exp.Star) and (
                item.args.get("except_") or item.args.get("replace")
            ):
                raise unsupported("* EXCEPT")
            chosen = [
                source
                for source in scope.sources
                if not qualifier or source.alias.lower() == qualifier.lower()
            ]
            if not chosen:
                raise SqlError(
                    107,
                    f"The column prefix '{qualifier}' does not match with a table name or alias name used in the query.",
                    15,
                )
            return [
                (f"{identifier(source.alias)}.{identifier(column.name)}", column)
                for source in chosen
                for column in source.columns
            ]
        if isinstance(item, exp.EQ):
            # `name = expression`, T-SQL's older way to name a column
            target = item.this
            if isinstance(target, exp.Parameter):
                raise unsupported("assigning variables in SELECT")
            name, item = target.name, item.expression
        elif isinstance(item, exp.Alias):
            name, item = item.alias, item.this
        value = self.value(item, scope)
        identity = False
        if isinstance(item, exp.Column):
            _, column = self.resolve(item, scope)
            name, identity = name or column.name, column.identity
        return [(value.sql, SourceColumn(name, value.type, value.nullable, identity))]

    def _order(
        self,
        node: exp.Order,
        scope: Scope,
        columns: Sequence[SourceColumn],
        texts: Sequence[str] = (),
    ) -> str:
        keys = []
        for ordered in node.expressions:
            item = ordered.this
            direction = "desc nulls last" if ordered.args.get("desc") else "asc nulls first"
            position = None
            if columns and isinstance(item, exp.Literal) and not item.is_string:
                position = int(str(item.this)) - 1
                if not 0 <= position < len(columns):
                    raise SqlError(
                        108,
                        f"The ORDER BY position number {position + 1} is out of range of the number of items in the select list.",
                        15,
                    )
            elif columns and isinstance(item, exp.Column) and not (item.table and texts):
                names = [column.name.lower() for column in columns]
                position = names.index(item.name.lower()) if item.name.lower() in names else None
            if position is None:
                value = self.value(item, scope)
                text, kind = value.sql, value.type
            else:
                kind = columns[position].type
                text = texts[position] if texts else identifier(columns[position].name)
            if kind is not None and kind.name == "datetimeoffset":
                text = f"({text}).t"
            elif kind is not None and kind.is_string:
                text = collations.key(Typed(text, kind))
            # A bare number would count as a position in DuckDB too.
            keys.append(f"({text}) {direction}")
        return "order by " + ", ".join(keys)

    def _limit(self, node: exp.Expr, scope: Scope) -> str:
        text = ""
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if isinstance(limit, exp.Fetch):
            if limit.args.get("percent") or limit.args.get("with_ties"):
                raise unsupported("FETCH or TOP with PERCENT or WITH TIES")
            text += f" limit {self._count(limit.args['count'], scope)}"
        elif limit is not None:
            options = limit.args.get("limit_options")
            if options is not None and (
                options.args.get("percent") or options.args.get("with_ties")
            ):
                raise unsupported("TOP with PERCENT or WITH TIES")
            text += f" limit {self._count(limit.expression, scope)}"
        if offset is not None:
            text += f" offset {self._count(offset.expression, scope)}"
        return text

    def _count(self, node: exp.Expr, scope: Scope) -> str:
        value = self.value(node, scope)
        return f"({convert(value, BIGINT).sql})"


def _distinguished(value: Typed) -> str:
    """What tells a value from others in groups and among distinct rows: of a text the key of its collation."""
    if value.type is not None and value.type.is_string:
        return collations.key(value)
    return value.sql


def _output_names(columns: Sequence[SourceColumn]) -> list[str]:
    """Names for DuckDB: as the client's where they are unique, made up where not."""
    seen: set[str] = set()
    names = []
    for index, column in enumerate(columns):
        name = column.name
        if not name or name.lower() in seen:
            name = f"column_{index}_"
        seen.add(name.lower())
        names.append(name)
    return names
