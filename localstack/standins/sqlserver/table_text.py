"""Reads the column and constraint definitions of CREATE TABLE and ALTER TABLE from tokens."""

import zlib
from dataclasses import dataclass, field, replace

from sqlglot.tokenizer_core import Token, TokenType

from standins.sqlserver import collations
from standins.sqlserver.batch import word
from standins.sqlserver.catalogue import ColumnDefinition, KeyDefinition
from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.types import INT, SqlType, declared_type

_TWO_WORD_TYPES = {
    ("DOUBLE", "PRECISION"),
    ("CHARACTER", "VARYING"),
    ("CHAR", "VARYING"),
    ("BINARY", "VARYING"),
    ("NATIONAL", "CHARACTER"),
    ("NATIONAL", "CHAR"),
}


class TokenReader:
    """Walks over the tokens of one statement."""

    def __init__(self, sql: str, tokens: tuple[Token, ...]) -> None:
        self.sql = sql
        self.tokens = tokens
        self.position = 0
        self._base = tokens[0].start if tokens else 0

    def more(self) -> bool:
        """Whether tokens are left."""
        return self.position < len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        """The word that comes, in upper case; empty for quoted names and at the end."""
        index = self.position + ahead
        return word(self.tokens[index]) if index < len(self.tokens) else ""

    def accept(self, *words: str) -> bool:
        """Takes these words if they come next."""
        if all(self.peek(index) == expected for index, expected in enumerate(words)):
            self.position += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Takes these words.

        Raises:
            SqlError: 102, something else comes.
        """
        if not self.accept(*words):
            raise syntax_error(self.tokens[self.position].text if self.more() else words[-1])

    def name(self) -> str:
        """One identifier."""
        if not self.more() or self.peek() in {"(", ")", ",", "."}:
            raise syntax_error(self.peek() or ")")
        self.position += 1
        return self.tokens[self.position - 1].text

    def qualified(self) -> list[str]:
        """An object name of one to three parts."""
        parts = [self.name()]
        while self.accept("."):
            parts.append("" if self.peek() == "." else self.name())
        return parts

    def group(self) -> str:
        """A bracketed group, as text without its brackets."""
        self.expect("(")
        start, depth = self.position, 1
        while depth:
            if not self.more():
                raise syntax_error("(")
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(
                self.tokens[self.position].token_type, 0
            )
            self.position += 1
        return self.text(start, self.position - 1)

    def text(self, start: int, end: int) -> str:
        """The source text of tokens `start` to `end`."""
        if end <= start:
            return ""
        first, last = self.tokens[start], self.tokens[end - 1]
        return self.sql[first.start - self._base : last.end + 1 - self._base]


@dataclass(slots=True)
class TableText:
    """What a CREATE TABLE says."""

    columns: list[ColumnDefinition] = field(default_factory=list)
    keys: list[KeyDefinition] = field(default_factory=list)


def read_table(reader: TokenReader, table: str) -> TableText:
    """The bracketed body of CREATE TABLE."""
    found = TableText()
    reader.expect("(")
    while True:
        if reader.peek() in {"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "INDEX"}:
            read_constraint(reader, table, found)
        else:
            read_column(reader, table, found)
        if not reader.accept(","):
            break
        if reader.peek() == ")":
            break
    reader.expect(")")
    rowversions = [column for column in found.columns if column.type.name == "rowversion"]
    if len(rowversions) > 1:
        raise SqlError(
            2738,
            f"A table can only have one timestamp column. Because table '{table}' already has one, the column '{rowversions[1].name}' cannot be added.",
        )
    seen: set[str] = set()
    for column in found.columns:
        if column.name.lower() in seen:
            raise SqlError(
                2705,
                f"Column names in each table must be unique. Column name '{column.name}' in table '{table}' is specified more than once.",
            )
        seen.add(column.name.lower())
    primary = {name.lower() for key in found.keys if key.primary for name in key.columns}
    for key in found.keys:
        for name in key.columns:
            if name.lower() not in seen:
                raise SqlError(
                    1911, f"Column name '{name}' does not exist in the target table or view."
                )
    found.columns = [
        replace(column, nullable=column.nullable and column.name.lower() not in primary)
        for column in found.columns
    ]
    return found


def read_constraint(reader: TokenReader, table: str, found: TableText) -> None:
    """A table constraint: PRIMARY KEY or UNIQUE."""
    name = reader.name() if reader.accept("CONSTRAINT") else ""
    if reader.accept("PRIMARY", "KEY"):
        primary = True
    elif reader.accept("UNIQUE"):
        primary = False
    else:
        raise unsupported(f"the table constraint {reader.peek()}")
    _ = reader.accept("CLUSTERED") or reader.accept("NONCLUSTERED")
    reader.expect("(")
    columns = []
    while True:
        columns.append(reader.name())
        _ = reader.accept("ASC") or reader.accept("DESC")
        if not reader.accept(","):
            break
    reader.expect(")")
    _skip_storage(reader)
    found.keys.append(
        KeyDefinition(name or _key_name(table, columns, primary=primary), tuple(columns), primary)
    )


def _skip_storage(reader: TokenReader) -> None:
    if reader.accept("WITH"):
        reader.group()
    if reader.peek() == "ON":
        reader.position += 2


def _key_name(table: str, columns: list[str], *, primary: bool) -> str:
    return automatic_name("PK" if primary else "UQ", table, columns)


def automatic_name(kind: str, table: str, columns: list[str]) -> str:
    """A name like those SQL Server makes up: kind, the start of the table's name, digits that keep it unique."""
    digits = zlib.crc32(".".join((table, *columns)).lower().encode())
    return f"{kind}__{table.split('.')[-1][:9]}__{digits:08X}"


def read_type(reader: TokenReader):
    """A type name with its arguments."""
    words = [reader.name()]
    if words[0].lower() == "sys" and reader.accept("."):
        words = [reader.name()]
    while (words[-1].upper(), reader.peek()) in _TWO_WORD_TYPES or (
        words[0].upper() == "NATIONAL" and reader.peek() == "VARYING"
    ):
        words.append(reader.name())
    arguments = [part.strip() for part in reader.group().split(",")] if reader.peek() == "(" else []
    return declared_type(" ".join(words), arguments)


def read_column(reader: TokenReader, table: str, found: TableText) -> None:
    """One column with what stands behind its type."""
    name = reader.name()
    if reader.accept("AS"):
        computed = f"({reader.group()})"
        _ = reader.accept("PERSISTED") and reader.accept("NOT", "NULL")
        found.columns.append(ColumnDefinition(name, INT, computed=computed))
        return
    kind = read_type(reader)
    column = ColumnDefinition(name, collated(kind), nullable=kind.name != "rowversion")
    constraint = ""
    while reader.more() and reader.peek() not in {",", ")"}:
        if reader.accept("NOT", "NULL"):
            column = replace(column, nullable=False)
        elif reader.accept("NULL"):
            column = replace(column, nullable=True)
        elif reader.accept("CONSTRAINT"):
            constraint = reader.name()
        elif reader.accept("IDENTITY"):
            numbers = (
                [int(part) for part in reader.group().split(",")]
                if reader.peek() == "("
                else [1, 1]
            )
            column = replace(column, identity=(numbers[0], numbers[1]), nullable=False)
        elif reader.accept("DEFAULT"):
            text = _default(reader)
            column = replace(
                column, default=text, default_name=constraint or automatic_name("DF", table, [name])
            )
            constraint = ""
        elif reader.peek() in {"PRIMARY", "UNIQUE"}:
            primary = reader.accept("PRIMARY", "KEY") or not reader.accept("UNIQUE")
            _ = reader.accept("CLUSTERED") or reader.accept("NONCLUSTERED")
            _skip_storage(reader)
            found.keys.append(
                KeyDefinition(
                    constraint or _key_name(table, [name], primary=primary), (name,), primary
                )
            )
            constraint = ""
        elif reader.accept("COLLATE"):
            column = replace(column, type=collated(kind, read_collation(reader)))
        elif reader.accept("ROWGUIDCOL") or reader.accept("SPARSE"):
            continue
        else:
            raise unsupported(f"{reader.peek() or 'this'} in the definition of column {name}")
    found.columns.append(column)


def read_collation(reader: TokenReader) -> str:
    """The name behind COLLATE."""
    return collations.collation(reader.name()).name


def collated(kind: SqlType, name: str = "") -> SqlType:
    """The type of a column, whose texts have a collation: the one that was written, else the database's."""
    if not kind.is_string:
        return kind
    return replace(kind, collation=name or collations.DEFAULT_NAME)


def _default(reader: TokenReader) -> str:
    start = reader.position
    if reader.peek() == "(":
        reader.group()
    else:
        _ = reader.accept("-")
        reader.position += 1
        if reader.peek() == "(":
            reader.group()
    return f"({reader.text(start, reader.position)})"
