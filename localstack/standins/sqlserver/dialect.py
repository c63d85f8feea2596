"""sqlglot's T-SQL grammar, kept literal: functions stay calls under their own names, so that nothing is rewritten unseen."""

from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import TokenType

from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.types import SqlType, declared_type

_KEPT = {"CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT"}
_LOSSY_TYPES = {"REAL", "NTEXT", "TEXT"}


class Literal(TSQL):
    """T-SQL in which `getdate()` parses as a call of `getdate`."""

    class Tokenizer(TSQL.Tokenizer):
        """Type names that sqlglot folds into others stay names."""

        KEYWORDS: ClassVar = {
            word: kind for word, kind in TSQL.Tokenizer.KEYWORDS.items() if word not in _LOSSY_TYPES
        }

    class Parser(TSQL.Parser):
        """No function is known, so that each becomes an `Anonymous` call."""

        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {
            **{
                name: parser
                for name, parser in TSQL.Parser.FUNCTION_PARSERS.items()
                if name in _KEPT
            },
            "CHANGETABLE": lambda parser: parser.parse_changetable(),
        }
        NO_PAREN_FUNCTIONS: ClassVar = {}

        def parse_changetable(self) -> exp.Expr:
            """`CHANGES table, version [, hint]` or `VERSION table, (columns), (values)`, behind the bracket."""
            kind = next(
                (word for word in ("CHANGES", "VERSION") if self._match_text_seq(word)), None
            )
            if kind is None:
                self.raise_error("CHANGETABLE takes CHANGES or VERSION")
            parts: list[exp.Expr | None] = [exp.var(str(kind)), self._parse_table_parts()]
            while self._match(TokenType.COMMA):
                if kind == "VERSION" and self._match(TokenType.L_PAREN):
                    parts.append(exp.Tuple(expressions=self._parse_csv(self._parse_assignment)))
                    self._match_r_paren()
                else:
                    parts.append(self._parse_assignment())
            arguments = parts[2:]
            if kind == "VERSION":
                right = len(arguments) == 2 and all(isinstance(a, exp.Tuple) for a in arguments)
            else:
                right = 1 <= len(arguments) <= 2
            if not right:
                self.raise_error(f"these are not the arguments of CHANGETABLE({kind} ...)")
            return self.expression(exp.Anonymous(this="CHANGETABLE", expressions=parts))


class Words(TSQL):
    """Tokens for cutting batches and reading definitions: one word each, no command that swallows the rest."""

    class Tokenizer(TSQL.Tokenizer):
        """T-SQL's quoting, but `PRIMARY KEY` is two tokens."""

        KEYWORDS: ClassVar = {
            word: kind
            for word, kind in TSQL.Tokenizer.KEYWORDS.items()
            if not any(c.isspace() for c in word)
        }
        COMMANDS: ClassVar = set()


_TYPE_NAMES = {
    "UTINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INT": "int",
    "BIGINT": "bigint",
    "BIT": "bit",
    "DECIMAL": "decimal",
    "MONEY": "money",
    "SMALLMONEY": "smallmoney",
    "FLOAT": "float",
    "DOUBLE": "float",
    "DATE": "date",
    "TIME": "time",
    "DATETIME": "datetime",
    "DATETIME2": "datetime2",
    "SMALLDATETIME": "smalldatetime",
    "TIMESTAMPTZ": "datetimeoffset",
    "CHAR": "char",
    "VARCHAR": "varchar",
    "NCHAR": "nchar",
    "NVARCHAR": "nvarchar",
    "BINARY": "binary",
    "VARBINARY": "varbinary",
    "IMAGE": "image",
    "UUID": "uniqueidentifier",
    "XML": "xml",
    "ROWVERSION": "rowversion",
    "VARIANT": "sql_variant",
    "GEOGRAPHY": "geography",
    "GEOMETRY": "geometry",
}


def parse(sql: str) -> exp.Expr:
    """One T-SQL statement as a tree.

    Raises:
        SqlError: 102, with the text near which the parser gave up.
    """
    try:
        statements = sqlglot.parse(sql, dialect=Literal)
    except ParseError as failure:
        details = failure.errors[0] if failure.errors else {}
        near = str(details.get("highlight") or "") or sql.strip()[-20:]
        raise syntax_error(near.strip()[:128]) from None
    except TokenError:
        raise SqlError(
            105, f"Unclosed quotation mark after the character string '{sql[-60:]}'.", 15
        ) from None
    if len(statements) != 1 or statements[0] is None:
        raise syntax_error(sql.strip()[:30])
    return statements[0]


def only(node: exp.Expr, *known: str) -> None:
    """Refuses a tree that carries a clause nobody translates, so that none is passed over in silence.

    Raises:
        SqlError: the clause, by its name in the tree.
    """
    for name, value in node.args.items():
        if value and name not in known:
            raise unsupported(
                f"the clause {name.strip('_').upper().replace('_', ' ')} of {type(node).__name__.upper()}"
            )


def tree_type(node: exp.Expr, *, cast: bool = True) -> SqlType:
    """The T-SQL type of a `DataType` node."""
    if not isinstance(node, exp.DataType):
        return declared_type(node.sql(dialect=Literal), [], cast=cast)
    arguments = [argument.sql() for argument in node.expressions]
    name = node.this.value if hasattr(node.this, "value") else str(node.this)
    if name in {"USERDEFINED", "USER-DEFINED"}:
        return declared_type(str(node.args["kind"]), arguments, cast=cast)
    if name not in _TYPE_NAMES:
        raise unsupported(f"the type {node.sql(dialect='tsql')}")
    return declared_type(_TYPE_NAMES[name], arguments, cast=cast)
