"""T-SQL expressions to typed DuckDB text. What is not listed here is refused by name."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver import arithmetic, collations
from standins.sqlserver.catalogue import Catalogue, TableDefinition
from standins.sqlserver.conversions import convert
from standins.sqlserver.dialect import tree_type
from standins.sqlserver.errors import (
    SqlError,
    syntax_error,
    unbound_identifier,
    undeclared_variable,
    unknown_column,
    unsupported,
)
from standins.sqlserver.locks.reads import Access
from standins.sqlserver.type_info import Value
from standins.sqlserver.typed import NULL, Typed, common_type, identifier, text_literal
from standins.sqlserver.types import BIT, INT, MAX, SqlType

if TYPE_CHECKING:
    from standins.sqlserver.state import SessionState


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column that a query can name."""

    name: str
    type: SqlType | None
    nullable: bool = True
    identity: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of FROM, under the name that the query gives it."""

    alias: str
    columns: tuple[SourceColumn, ...]
    table: TableDefinition | None = None

    def column(self, name: str) -> SourceColumn | None:
        """The column of that name in any case."""
        folded = name.lower()
        return next((column for column in self.columns if column.name.lower() == folded), None)


@dataclass(slots=True)
class Scope:
    """What names mean inside one SELECT; `parent` is the query around it."""

    sources: list[Source] = field(default_factory=list)
    parent: "Scope | None" = None
    ctes: dict[str, tuple[SourceColumn, ...]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    """Texts that rows are grouped by, as DuckDB text: of each group any one spelling is shown."""

    def cte(self, name: str) -> tuple[SourceColumn, ...] | None:
        """The columns of a common table expression in reach."""
        found = self.ctes.get(name.lower())
        return found if found is not None or self.parent is None else self.parent.cte(name)


@dataclass(slots=True)
class Environment:
    """What a statement can refer to beside its tables, and what it turned out to use."""

    catalogue: Catalogue
    session: "SessionState"
    variables: dict[str, Value] = field(default_factory=dict)
    bound: dict[str, object] = field(default_factory=dict)
    accesses: list[Access] = field(default_factory=list)
    """The tables that it reads."""

    def used(self, sql: str) -> dict[str, object]:
        """Of the bound values those that a text mentions; DuckDB refuses others."""
        names = set(re.findall(r"\$(v_\w+)", sql))
        return {name: value for name, value in self.bound.items() if name in names}


class Expressions:
    """Translates expressions in a scope; `queries.Queries` adds subqueries."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.inside_aggregate = False
        self._values: dict[type, Callable[..., Typed]] = {
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.National: lambda node, _scope: _text(str(node.this), national=True),
            exp.HexString: lambda node, _scope: _bytes(str(node.this)),
            exp.Null: lambda _node, _scope: NULL,
            exp.Paren: self._parenthesised,
            exp.Neg: self._negative,
            exp.BitwiseNot: self._bitwise_not,
            exp.Parameter: self._parameter,
            exp.SessionParameter: self._parameter,
            exp.Cast: lambda node, scope: _converted(
                self.value(node.this, scope), tree_type(node.args["to"])
            ),
            exp.TryCast: lambda node, scope: _converted(
                self.value(node.this, scope), tree_type(node.args["to"]), safe=True
            ),
            exp.Convert: self._convert,
            exp.Case: self._case,
            exp.Anonymous: lambda node, scope: self.call(str(node.this), node.expressions, scope),
            exp.Dot: self._of_system,
            exp.Var: lambda node, scope: self.call(str(node.this), [], scope),
            exp.Window: self._window,
            exp.Subquery: self.scalar_subquery,
            exp.Collate: self._collate,
        }

    # -- to be filled by the classes below this one
    def condition(self, node: exp.Expr, scope: Scope) -> str:
        """A search condition as DuckDB text."""
        raise NotImplementedError

    def compare(self, operator: str, words: str, left: Typed, right: Typed) -> str:
        """`left operator right` under T-SQL's rules."""
        raise NotImplementedError

    def call(self, name: str, arguments: Sequence[exp.Expr], scope: Scope) -> Typed:
        """A function call."""
        raise NotImplementedError

    def scalar_subquery(self, node: exp.Expr, scope: Scope) -> Typed:
        """A subquery that gives one value."""
        raise NotImplementedError

    def subquery_text(self, node: exp.Expr, scope: Scope) -> tuple[str, list[SourceColumn]]:
        """The text of a subquery and its columns."""
        raise NotImplementedError

    def window_call(self, node: exp.Window, scope: Scope) -> Typed:
        """A function with OVER."""
        raise NotImplementedError

    # -- values
    def value(self, node: exp.Expr, scope: Scope) -> Typed:
        """The expression `node` as DuckDB text.

        Raises:
            SqlError: 207, 4104, 137, or what the stand-in does not support.
        """
        handler = self._values.get(type(node))
        if handler is not None:
            value = handler(node, scope)
            if value.sql in scope.grouped and not self.inside_aggregate:
                return replace(value, sql=f"any_value({value.sql})")
            return value
        if isinstance(
            node,
            (
                exp.Add,
                exp.Sub,
                exp.Mul,
                exp.Div,
                exp.Mod,
                exp.BitwiseAnd,
                exp.BitwiseOr,
                exp.BitwiseXor,
            ),
        ):
            return arithmetic.combine(
                node.key, self.value(node.this, scope), self.value(node.expression, scope)
            )
        if isinstance(node, (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
            raise syntax_error(node.sql(dialect="tsql")[:60])
        raise unsupported(
            f"the expression {node.sql(dialect='tsql')[:200]} ({type(node).__name__})"
        )

    def _parenthesised(self, node: exp.Paren, scope: Scope) -> Typed:
        inner = self.value(node.this, scope)
        return replace(inner, sql=f"({inner.sql})")

    def _collate(self, node: exp.Collate, scope: Scope) -> Typed:
        value, name = self.value(node.this, scope), collations.collation(node.expression.name).name
        if value.type is None or not value.type.is_string:
            kind = value.type.name if value.type else "NULL"
            raise SqlError(447, f"Expression type {kind} is invalid for COLLATE clause.")
        return replace(value, type=replace(value.type, collation=name), explicit=True)

    def _column(self, node: exp.Column, scope: Scope) -> Typed:
        source, column = self.resolve(node, scope)
        text = f"{identifier(source.alias)}.{identifier(column.name)}"
        return Typed(text, column.type, column.nullable)

    def resolve(self, node: exp.Column, scope: Scope) -> tuple[Source, SourceColumn]:
        """The source and column that a name means."""
        if not isinstance(node.this, exp.Identifier):
            raise unsupported(f"the expression {node.sql(dialect='tsql')[:200]}")
        name, qualifier, schema = node.name, node.table, node.db
        current: Scope | None = scope
        while current is not None:
            matches = [
                (source, column)
                for source in current.sources
                if _answers_to(source, qualifier, schema) and (column := source.column(name))
            ]
            if len(matches) > 1:
                raise SqlError(209, f"Ambiguous column name '{name}'.")
            if matches:
                return matches[0]
            if qualifier and any(
                _answers_to(source, qualifier, schema) for source in current.sources
            ):
                raise unknown_column(name)
            current = current.parent
        if qualifier:
            raise unbound_identifier(".".join(part.name for part in node.parts))
        raise unknown_column(name)

    def _of_system(self, node: exp.Dot, scope: Scope) -> Typed:
        """A function of the system's, with its schema."""
        call = node.expression
        if node.this.name.lower() != "sys" or not isinstance(call, exp.Anonymous):
            raise unsupported(f"the expression {node.sql(dialect='tsql')[:200]}")
        return self.call(call.name, call.expressions, scope)

    def _literal(self, node: exp.Literal, _scope: Scope) -> Typed:
        text = str(node.this)
        if node.is_string:
            return _text(text, national=False)
        if "e" in text.lower():
            return Typed(f"cast('{text}' as double)", SqlType("float"), nullable=False)
        if "." not in text:
            if int(text) < 2**31:
                return Typed(text, INT, nullable=False)
            return Typed(
                f"cast({text} as decimal({len(text)},0))",
                SqlType("numeric", precision=len(text)),
                nullable=False,
            )
        digits = Decimal(text).as_tuple()
        scale = -int(digits.exponent)
        precision = max(len(digits.digits), scale, 1)
        return Typed(
            f"cast({text} as decimal({precision},{scale}))",
            SqlType("numeric", precision=precision, scale=scale),
            nullable=False,
        )

    def _negative(self, node: exp.Neg, scope: Scope) -> Typed:
        if isinstance(node.this, exp.Literal) and str(node.this.this) == "2147483648":
            return Typed("cast(-2147483648 as integer)", INT, nullable=False)
        inner = self.value(node.this, scope)
        if inner.type is None or not inner.type.is_number:
            raise SqlError(
                8117,
                f"Operand data type {inner.type.name if inner.type else 'NULL'} is invalid for minus operator.",
            )
        return Typed(f"cast(-({inner.sql}) as {inner.type.storage})", inner.type, inner.nullable)

    def _bitwise_not(self, node: exp.BitwiseNot, scope: Scope) -> Typed:
        inner = self.value(node.this, scope)
        if inner.type == BIT:
            return Typed(f"(not {inner.sql})", BIT, inner.nullable)
        if inner.type is None or not inner.type.is_integer:
            raise unsupported("~ of this type")
        return Typed(f"(~{inner.sql})", inner.type, inner.nullable)

    def _parameter(self, node: exp.Expr, scope: Scope) -> Typed:
        if isinstance(node.this, exp.Parameter):
            return self.call("@@" + node.this.name, [], scope)
        name = node.name
        if name.startswith("@"):
            return self.call("@" + name, [], scope)
        return self.variable(name)

    def variable(self, name: str) -> Typed:
        """A declared variable or parameter; its value is bound, never written into the text."""
        bound = self.environment.variables.get(name.lower())
        if bound is None:
            raise undeclared_variable(name)
        key = f"v_{''.join(c if c.isascii() and c.isalnum() else f'_{ord(c)}_' for c in name.lower())}"
        self.environment.bound[key] = bound.value
        return Typed(f"cast(${key} as {bound.type.storage})", bound.type, bound.value is None)

    def _convert(self, node: exp.Convert, scope: Scope) -> Typed:
        style = node.args.get("style")
        number = None
        if style is not None:
            if not isinstance(style, exp.Literal):
                raise unsupported("CONVERT with a style that is no constant")
            number = int(str(style.this))
        value = self.value(node.expression, scope)
        return _converted(
            value, tree_type(node.this), safe=bool(node.args.get("safe")), style=number
        )

    def _case(self, node: exp.Case, scope: Scope) -> Typed:
        operand = node.this
        conditions, results = [], []
        for branch in node.args["ifs"]:
            if operand is None:
                conditions.append(self.condition(branch.this, scope))
            else:
                conditions.append(
                    self.compare(
                        "=", "equal to", self.value(operand, scope), self.value(branch.this, scope)
                    )
                )
            results.append(self.value(branch.args["true"], scope))
        default = node.args.get("default")
        results.append(self.value(default, scope) if default is not None else NULL)
        kind = common_type([result.type for result in results])
        if kind is None:
            raise SqlError(
                8133,
                "At least one of the result expressions in a CASE specification must be an expression other than the NULL constant.",
            )
        texts = [convert(result, kind).sql for result in results]
        branches = " ".join(
            f"when {condition} then {text}"
            for condition, text in zip(conditions, texts, strict=False)
        )
        return Typed(
            f"(case {branches} else {texts[-1]} end)",
            kind,
            any(result.nullable for result in results),
        )

    def _window(self, node: exp.Window, scope: Scope) -> Typed:
        return self.window_call(node, scope)


def _converted(
    value: Typed, target: SqlType, *, safe: bool = False, style: int | None = None
) -> Typed:
    """A CAST: text that stays text keeps its collation."""
    if value.type is not None and value.type.is_string and target.is_string:
        target = replace(target, collation=value.type.collation)
    return replace(convert(value, target, safe=safe, style=style), type=target)


def _answers_to(source: Source, qualifier: str, schema: str) -> bool:
    if not qualifier:
        return True
    if source.alias.lower() != qualifier.lower():
        return False
    return not schema or (
        source.table is not None and source.table.schema.lower() == schema.lower()
    )


def _text(text: str, *, national: bool) -> Typed:
    kind = SqlType(
        "nvarchar" if national else "varchar",
        max(len(text), 1) if len(text) <= (4000 if national else 8000) else MAX,
    )
    return Typed(text_literal(text), kind, nullable=False, text=text)


def _bytes(digits: str) -> Typed:
    digits = digits if len(digits) % 2 == 0 else "0" + digits
    kind = SqlType("varbinary", max(len(digits) // 2, 1))
    return Typed(f"unhex('{digits}')", kind, nullable=False)
