"""Recognising statements: sqlglot's Redshift tokenizer, splitting at semicolons, naming the verb.

Only tokens are used, never sqlglot's parser: it cannot read much of Redshift's DDL, and a token's
position lets the rest of a statement pass to Postgres untouched.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from standins.redshift.errors import SYNTAX, RedshiftError, syntax

#: Above this size an INSERT's values are scanned by one regular expression, not token by token.
BIG_STATEMENT_CHARS = 65_536
MAX_NAME_BYTES = 63
_PIECES = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|;""", re.DOTALL)
_AFTER_VALUES = re.compile(_PIECES.pattern + r"|\b(?:on|returning)\b", re.DOTALL | re.IGNORECASE)
_STRINGS = {TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING}


class _Tokenizer(Redshift.Tokenizer):
    # By default the text after UNLOAD, LOCK, VACUUM and others becomes one opaque token.
    COMMANDS: ClassVar[set[TokenType]] = set()
    # One word, one token: two words such as GROUP BY may have a comment between them.
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        name: kind for name, kind in Redshift.Tokenizer.KEYWORDS.items() if " " not in name
    }


@dataclass(frozen=True)
class Statement:
    """One statement: its text and the tokens in it, positions relative to the text."""

    text: str
    tokens: Sequence[Token]

    @cached_property
    def words(self) -> list[str]:
        """Each token as upper-case text; quoted identifiers and strings keep their quotes."""
        return [word(self.text, token) for token in self.tokens]

    def starts(self, *words: str) -> bool:
        """Whether the statement begins with these words."""
        return self.words[: len(words)] == list(words)

    def source(self, token: Token) -> str:
        """The token as it was written."""
        return self.text[token.start : token.end + 1]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `text[start:end]` by `replacement`."""

    start: int
    end: int
    replacement: str


def word(text: str, token: Token) -> str:
    """The token as it is compared: keywords in upper case, quoted things never look like one."""
    source = text[token.start : token.end + 1]
    quoted = token.token_type in _STRINGS or token.token_type == TokenType.IDENTIFIER
    return source if quoted else source.upper()


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; they must not overlap."""
    parts, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        parts += [text[position : edit.start], edit.replacement]
        position = edit.end
    return "".join([*parts, text[position:]])


def tokenize(sql: str) -> list[Token]:
    """The tokens of a text.

    Raises:
        RedshiftError: a string or comment never ends.
    """
    try:
        return _Tokenizer(dialect="redshift").tokenize(sql)
    except TokenError as failure:
        reason = f"unterminated quoted string or comment: {failure}".splitlines()[0]
        raise RedshiftError(reason, SYNTAX) from failure


def split(sql: str) -> list[Statement]:
    """The statements of a text, without empty ones."""
    if len(sql) > BIG_STATEMENT_CHARS:
        return [_big(part) for part in _split_big(sql)]
    statements, begin, current = [], 0, []
    for token in [*tokenize(sql), None]:
        if token is not None and token.token_type != TokenType.SEMICOLON:
            current.append(token)
            continue
        if current:
            end = current[-1].end + 1
            text = sql[begin:end] if token is None else sql[begin : token.start]
            statements.append(_relative(text, begin, current))
        if token is not None:
            begin, current = token.end + 1, []
    return statements


def _relative(text: str, begin: int, tokens: list[Token]) -> Statement:
    for token in tokens:
        token.start -= begin
        token.end -= begin
    return Statement(text, tokens)


def _split_big(sql: str) -> list[str]:
    ends = [match.start() for match in _PIECES.finditer(sql) if match[0] == ";"]
    bounds = [-1, *ends, len(sql)]
    parts = [sql[start + 1 : end] for start, end in pairwise(bounds)]
    return [part for part in parts if part.strip()]


def _big(sql: str) -> Statement:
    """A long INSERT is tokenized up to VALUES, and from ON or RETURNING on; others wholly."""
    head = re.match(r"\s*insert\s+into\b.{0,20000}?\bvalues\b", sql, re.IGNORECASE | re.DOTALL)
    if len(sql) <= BIG_STATEMENT_CHARS or head is None:
        return Statement(sql, tokenize(sql))
    ends = (m for m in _AFTER_VALUES.finditer(sql, head.end()) if m[0][0] not in "'\"-/;")
    begin = next((match.start() for match in ends), len(sql))
    tail = tokenize(sql[begin:])
    for token in tail:
        token.start += begin
        token.end += begin
    return Statement(sql, [*tokenize(head[0]), *tail])


class Cursor:
    """Walks the tokens of one statement; the readers of COPY, UNLOAD and DDL stand on it."""

    def __init__(self, statement: Statement, position: int = 0) -> None:
        self.statement, self.position = statement, position

    @property
    def done(self) -> bool:
        """Whether every token was read."""
        return self.position >= len(self.statement.tokens)

    def peek(self, ahead: int = 0) -> str:
        """The word `ahead` tokens away, or an empty string at the end."""
        index = self.position + ahead
        return self.statement.words[index] if index < len(self.statement.words) else ""

    @property
    def token(self) -> Token:
        """The current token.

        Raises:
            RedshiftError: the statement ended too early.
        """
        if self.done:
            raise RedshiftError("syntax error at end of input", SYNTAX)
        return self.statement.tokens[self.position]

    def next(self) -> Token:
        """Read one token."""
        token = self.token
        self.position += 1
        return token

    def accept(self, *words: str) -> bool:
        """Read these words if they come next."""
        if [self.peek(index) for index in range(len(words))] != list(words):
            return False
        self.position += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Read these words or raise Redshift's syntax error."""
        if not self.accept(*words):
            raise self.unexpected()

    def unexpected(self) -> RedshiftError:
        """The syntax error for the current token."""
        return syntax(self.statement.source(self.token))

    def string(self) -> str:
        """Read a string literal."""
        if self.token.token_type not in _STRINGS:
            raise self.unexpected()
        return self.next().text

    def name(self, *, fold: bool = True) -> str:
        """Read an identifier; it is folded to lower case even when quoted."""
        token = self.next()
        check_name(token.text)
        return fold_ascii(token.text) if fold else token.text

    def qualified_name(self, *, fold: bool = True) -> tuple[str, ...]:
        """Read `[[database.]schema.]name`."""
        parts = [self.name(fold=fold)]
        while self.accept("."):
            parts.append(self.name(fold=fold))
        return tuple(parts)

    def names_in_parentheses(self, *, fold: bool = True) -> list[str]:
        """Read `(a, b, c)`."""
        self.expect("(")
        names = [self.name(fold=fold)]
        while self.accept(","):
            names.append(self.name(fold=fold))
        self.expect(")")
        return names


def check_name(name: str) -> None:
    """Refuse a name that Postgres would cut short without an error.

    Redshift keeps 127 bytes: https://docs.aws.amazon.com/redshift/latest/dg/r_names.html
    """
    if len(name.encode()) > MAX_NAME_BYTES:
        text = (
            f'identifier "{name}" is longer than {MAX_NAME_BYTES} bytes, which is the limit of the '
            "stand-in's Postgres (Redshift's is 127)"
        )
        raise RedshiftError(text, "42622")


def fold_ascii(name: str) -> str:
    """Lower-case ASCII letters only, as Redshift folds names."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def quote(*parts: str) -> str:
    """A quoted, possibly qualified identifier."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """A string literal that means the same whatever standard_conforming_strings is."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"
