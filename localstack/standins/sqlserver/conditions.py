"""T-SQL search conditions to DuckDB text: comparisons, LIKE, IN, EXISTS, with the collation's rules."""

from sqlglot import exp

from standins.sqlserver import collations
from standins.sqlserver.conversions import convert
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import Expressions, Scope
from standins.sqlserver.typed import NULL, RANK, Typed, text_literal
from standins.sqlserver.types import MAX, SqlType, nvarchar

_COMPARISONS: dict[type[exp.Expr], tuple[str, str]] = {
    exp.EQ: ("=", "equal to"),
    exp.NEQ: ("<>", "not equal to"),
    exp.LT: ("<", "less than"),
    exp.LTE: ("<=", "less than or equal to"),
    exp.GT: (">", "greater than"),
    exp.GTE: (">=", "greater than or equal to"),
}


class Conditions(Expressions):
    """Translates what stands behind WHERE, ON, HAVING and WHEN."""

    def condition(self, node: exp.Expr, scope: Scope) -> str:
        """A search condition as DuckDB text.

        Raises:
            SqlError: 4145 where a value stands in place of a condition.
        """
        match node:
            case exp.Paren():
                return f"({self.condition(node.this, scope)})"
            case exp.And() | exp.Or():
                word = "and" if isinstance(node, exp.And) else "or"
                return f"({self.condition(node.this, scope)} {word} {self.condition(node.expression, scope)})"
            case exp.Not():
                return f"(not {self.condition(node.this, scope)})"
            case exp.Is():
                if not isinstance(node.expression, exp.Null):
                    raise unsupported("IS with anything but NULL")
                return f"({self.value(node.this, scope).sql} is null)"
            case exp.Between():
                value = self.value(node.this, scope)
                low, high = (
                    self.value(node.args["low"], scope),
                    self.value(node.args["high"], scope),
                )
                first = self.compare(">=", "greater than or equal to", value, low)
                return f"({first} and {self.compare('<=', 'less than or equal to', value, high)})"
            case exp.In():
                return self._in(node, scope)
            case exp.Exists():
                return f"exists ({self.subquery_text(node.this, scope)[0]})"
            case exp.Like() | exp.Escape():
                return self._like(node, scope)
        if type(node) in _COMPARISONS:
            operator, words = _COMPARISONS[type(node)]
            return self.compare(
                operator, words, self.value(node.this, scope), self.value(node.expression, scope)
            )
        if isinstance(node, (exp.Column, exp.Literal, exp.Parameter, exp.Anonymous, exp.Add)):
            raise SqlError(
                4145,
                f"An expression of non-boolean type specified in a context where a condition is expected, near '{node.sql(dialect='tsql')[:60]}'.",
                15,
            )
        raise unsupported(f"the condition {node.sql(dialect='tsql')[:200]} ({type(node).__name__})")

    def compare(self, operator: str, words: str, left: Typed, right: Typed) -> str:
        """`left operator right` under T-SQL's rules: types meet at the higher one, text by its collation."""
        if left.type is None or right.type is None:
            return f"({left.sql} {operator} {right.sql})"
        kinds = left.type, right.type
        for kind in kinds:
            if kind.name in {
                "text",
                "ntext",
                "image",
                "xml",
                "sql_variant",
                "hierarchyid",
                "geography",
                "geometry",
            }:
                if kind.name in {"sql_variant", "hierarchyid"}:
                    raise unsupported(f"comparing {kind.name}: CAST it to nvarchar(max)")
                raise SqlError(
                    402,
                    f"The data types {kinds[0].name} and {kinds[1].name} are incompatible in the {words} operator.",
                )
        if kinds[0].is_string and kinds[1].is_string:
            by = collations.common(left, right, words)
            return f"({by.key(left.sql)} {operator} {by.key(right.sql)})"
        differ = kinds[0].name != kinds[1].name or kinds[0].is_fine != kinds[1].is_fine
        if differ and not (kinds[0].is_number and kinds[1].is_number):
            higher = max(kinds, key=lambda kind: RANK[kind.name])
            if higher.is_number and not higher.is_integer and any(kind.is_string for kind in kinds):
                higher = (
                    SqlType("float")
                    if higher.name in {"float", "real"}
                    else SqlType("decimal", precision=38, scale=10)
                )
            if higher.length > 0:
                higher = SqlType("varbinary", MAX) if higher.is_binary else higher
            elif higher.name in {"time", "datetime2", "datetimeoffset"}:
                higher = SqlType(higher.name, scale=7)
            left, right = convert(left, higher), convert(right, higher)
        if left.type is not None and left.type.name == "datetimeoffset":
            return f"(({left.sql}).t {operator} ({right.sql}).t)"
        return f"({left.sql} {operator} {right.sql})"

    def _in(self, node: exp.In, scope: Scope) -> str:
        value = self.value(node.this, scope)
        query = node.args.get("query")
        if query is not None:
            text, columns = self.subquery_text(
                query.this if isinstance(query, exp.Subquery) else query, scope
            )
            if len(columns) != 1:
                raise SqlError(
                    116,
                    "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
                )
            kind = columns[0].type
            same = (
                value.type is None
                or kind is None
                or value.type == kind
                or (value.type.is_number and kind.is_number)
            )
            if (
                value.type is not None
                and kind is not None
                and value.type.is_string
                and kind.is_string
            ):
                by = collations.common(value, Typed("q.x", kind), "equal to")
                return f"({by.key(value.sql)} in (select {by.key('q.x')} from ({text}) q(x)))"
            if not same:
                raise unsupported(
                    f"IN with {value.type} on the left and {kind} in the subquery: CAST one of them"
                )
            return f"({value.sql} in ({text}))"
        tests = [
            self.compare("=", "equal to", value, self.value(item, scope))
            for item in node.expressions
        ]
        return f"({' or '.join(tests)})"

    def _like(self, node: exp.Expr, scope: Scope) -> str:
        escape = ""
        if isinstance(node, exp.Escape):
            escape, node = str(node.expression.this), node.this
            if not isinstance(node, exp.Like):
                raise unsupported("ESCAPE without LIKE")
        sides = [self.value(side, scope) for side in (node.this, node.expression)]
        texts = [side if side.type and side.type.is_string else NULL for side in sides]
        by = collations.common(texts[0], texts[1], "like")
        value, pattern = (convert(side, nvarchar(0)) for side in sides)
        # Brackets are T-SQL's own, DuckDB would take them as they stand.
        checked = f"case when strpos({pattern.sql}, '[') > 0 then t_fail(50000, 'The SQL Server stand-in does not support [ ] in LIKE patterns.') else {pattern.sql} end"
        source = self.value(node.expression, scope)
        if source.text is not None:
            if "[" in source.text:
                raise unsupported("[ ] in LIKE patterns")
            checked = pattern.sql
        word = "like" if by.case else "ilike"
        subject = value.sql
        if not by.accents:
            subject, checked = f"strip_accents({subject})", f"strip_accents({checked})"
        return f"({subject} {word} {checked}{f' escape {text_literal(escape)}' if escape else ''})"
