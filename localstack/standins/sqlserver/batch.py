"""A batch of T-SQL cut into statements (semicolons are optional there), with IF and BEGIN...END blocks."""

from dataclasses import dataclass, field

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from standins.sqlserver.dialect import Words
from standins.sqlserver.errors import SqlError, syntax_error

STARTS = {
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "SET", "DECLARE", "CREATE", "ALTER", "DROP", "TRUNCATE", "EXEC", "EXECUTE",
    "USE", "COMMIT", "ROLLBACK", "SAVE", "BEGIN", "IF", "ELSE", "END", "PRINT", "RAISERROR", "THROW", "GRANT", "REVOKE", "DENY", "WITH",
    "WHILE", "GO", "DBCC", "WAITFOR", "RETURN", "BULK", "OPEN", "CLOSE", "DEALLOCATE", "BACKUP", "CHECKPOINT", "KILL",
}  # fmt: skip
_QUOTED = {TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.IDENTIFIER, TokenType.HEX_STRING}
_SET_OPERATORS = {"UNION", "ALL", "EXCEPT", "INTERSECT"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its first word in upper case, its text and tokens."""

    verb: str
    text: str
    tokens: tuple[Token, ...]

    def words(self) -> list[str]:
        """Its tokens in upper case, quoted ones as they stand."""
        return [word(token) or token.text for token in self.tokens]


@dataclass(frozen=True, slots=True)
class If:
    """IF with what it guards."""

    condition: str
    then: list["Statement | If"]
    otherwise: list["Statement | If"] = field(default_factory=list)


def word(token: Token) -> str:
    """The token as a keyword, empty for strings and quoted names."""
    return "" if token.token_type in _QUOTED else token.text.upper()


def tokenize(sql: str) -> list[Token]:
    """The tokens of T-SQL text.

    Raises:
        SqlError: 105, an unclosed string.
    """
    try:
        return list(Words().tokenize(sql))
    except TokenError:
        raise SqlError(
            105, f"Unclosed quotation mark after the character string '{sql[-60:]}'.", 15
        ) from None


def split(sql: str) -> list[Statement | If]:
    """The statements of a batch, in order."""
    cutter = _Cutter(sql)
    return cutter.block(top=True)


class _Cutter:
    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = tokenize(sql)
        self._position = 0

    def _word(self, ahead: int = 0) -> str:
        index = self._position + ahead
        return word(self._tokens[index]) if index < len(self._tokens) else ""

    def _more(self) -> bool:
        return self._position < len(self._tokens)

    def block(self, *, top: bool = False) -> list[Statement | If]:
        found: list[Statement | If] = []
        while self._more():
            if self._tokens[self._position].token_type == TokenType.SEMICOLON:
                self._position += 1
                continue
            if self._word() == "END":
                if top:
                    raise syntax_error("END")
                self._position += 1
                return found
            found.extend(self._one())
        if not top:
            raise syntax_error("BEGIN")
        return found

    def _one(self) -> list[Statement | If]:
        """One statement; BEGIN...END gives those inside."""
        if self._word() == "BEGIN" and self._word(1) not in {
            "TRAN",
            "TRANSACTION",
            "TRY",
            "CATCH",
            "DISTRIBUTED",
        }:
            self._position += 1
            return self.block()
        if self._word() != "IF":
            return [self._statement()]
        self._position += 1
        condition = self._cut(self._condition_end())
        then = self._one()
        while self._more() and self._tokens[self._position].token_type == TokenType.SEMICOLON:
            self._position += 1
        otherwise: list[Statement | If] = []
        if self._word() == "ELSE":
            self._position += 1
            otherwise = self._one()
        return [If(condition.text, then, otherwise)]

    def _condition_end(self) -> int:
        depth, index = 0, self._position
        while index < len(self._tokens):
            token = self._tokens[index]
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
            if depth == 0 and word(token) in STARTS - {"END", "ELSE", "WITH"}:
                return index
            index += 1
        raise syntax_error("IF")

    def _statement(self) -> Statement:
        depth, index = 0, self._position + 1
        verb = self._word()
        body = verb not in {"WITH", "INSERT", "CREATE"}
        updated = verb != "UPDATE"
        cases, merged = 0, ""
        while index < len(self._tokens):
            token = self._tokens[index]
            kind = token.token_type
            if kind == TokenType.SEMICOLON and depth == 0:
                break
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(kind, 0)
            current, previous = word(token), word(self._tokens[index - 1])
            if current == "CASE":
                cases += 1
            elif current == "END" and cases:
                cases -= 1
            elif (
                depth == 0
                and not cases
                and current in STARTS
                and self._tokens[index - 1].token_type != TokenType.DOT
            ):
                continues = (
                    (current == "SELECT" and (not body or previous in _SET_OPERATORS))
                    or (current == "SET" and not updated)
                    or (
                        current in {"INSERT", "UPDATE", "DELETE", "MERGE"}
                        and verb == "WITH"
                        and not body
                    )
                    or (current in {"INSERT", "UPDATE", "DELETE"} and previous == "THEN")
                    or (current == "BULK" and previous == "INSERT")
                    or (current in {"DELETE", "UPDATE"} and previous == "ON")
                    or (current == "SET" and previous in {"DELETE", "UPDATE"})
                    or (verb == "ALTER" and current in {"DROP", "WITH", "SET"})
                    or (
                        (verb, current) == ("ALTER", "ALTER") and self._next_word(index) == "COLUMN"
                    )
                    or (
                        current == "WITH"
                        and (
                            self._next(index) == TokenType.L_PAREN
                            or verb in {"CREATE", "EXEC", "RAISERROR", "BEGIN"}
                        )
                    )
                    or (
                        current in {"OPEN", "CLOSE", "GO", "KILL", "USE", "SAVE", "RETURN"}
                        and previous in {"SELECT", ",", "AS", "ON", "BY", "=", "WHERE", "AND"}
                    )
                    or (current in {"EXEC", "EXECUTE"} and verb == "INSERT" and not body)
                    or (
                        current == "IF"
                        and verb in {"DROP", "ALTER"}
                        and self._next_word(index) == "EXISTS"
                    )
                )
                if not continues:
                    break
                if current == "SELECT":
                    body = True
                if current in {"INSERT", "UPDATE", "DELETE", "MERGE"} and verb == "WITH":
                    body, updated = current != "INSERT", current != "UPDATE"
                    merged = current if merged != "MERGE" else merged
                if current == "SET" and not updated:
                    updated = True
            elif current in {"VALUES"} and depth == 0:
                body = True
            index += 1
        ended = index < len(self._tokens) and self._tokens[index].token_type == TokenType.SEMICOLON
        if "MERGE" in {verb, merged} and not ended:
            raise SqlError(10713, "A MERGE statement must be terminated by a semi-colon (;).", 15)
        return self._cut(index)

    def _next(self, index: int) -> TokenType | None:
        return self._tokens[index + 1].token_type if index + 1 < len(self._tokens) else None

    def _next_word(self, index: int) -> str:
        return word(self._tokens[index + 1]) if index + 1 < len(self._tokens) else ""

    def _cut(self, end: int) -> Statement:
        tokens = tuple(self._tokens[self._position : end])
        self._position = end
        if not tokens:
            raise syntax_error("IF")
        text = self._sql[tokens[0].start : tokens[-1].end + 1]
        return Statement(word(tokens[0]), text, tokens)
