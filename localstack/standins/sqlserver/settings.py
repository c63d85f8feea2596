"""Statements that set something: SET, DECLARE, USE, BEGIN / COMMIT / ROLLBACK TRANSACTION, PRINT."""

from typing import TYPE_CHECKING

from standins.sqlserver import tokens
from standins.sqlserver.batch import STARTS, Statement
from standins.sqlserver.errors import (
    SqlError,
    syntax_error,
    undeclared_variable,
    unknown_object,
    unsupported,
)
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.names import SYSTEM_DATABASES
from standins.sqlserver.table_text import TokenReader, read_type
from standins.sqlserver.type_info import Value

if TYPE_CHECKING:
    from standins.sqlserver.session import Session

_ALWAYS_ON = {
    "ANSI_NULLS", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT", "CONCAT_NULL_YIELDS_NULL", "QUOTED_IDENTIFIER",
    "ANSI_NULL_DFLT_ON", "ANSI_DEFAULTS",
}  # fmt: skip
_ALWAYS_OFF = {
    "CURSOR_CLOSE_ON_COMMIT",
    "IMPLICIT_TRANSACTIONS",
    "XACT_ABORT",
    "NUMERIC_ROUNDABORT",
    "FMTONLY",
    "NOEXEC",
    "PARSEONLY",
}
_EITHER = {"NOCOUNT", "STATISTICS", "ARITHIGNORE"}
_WITH_VALUE = {
    "TEXTSIZE",
    "LOCK_TIMEOUT",
    "LANGUAGE",
    "DATEFORMAT",
    "DATEFIRST",
    "DEADLOCK_PRIORITY",
}
_KEPT_VALUES = {
    "LANGUAGE": {"us_english", "english"},
    "DATEFORMAT": {"mdy", "ymd"},
    "DATEFIRST": {"7"},
}


def run(session: "Session", statement: Statement, variables: dict[str, Value]) -> bytes:
    """Runs one such statement; gives the tokens that announce what changed.

    Raises:
        SqlError: not supported, or wrong.
    """
    words = statement.words()
    match words:
        case ["SET", *rest]:
            return _set(session, statement, [word.upper() for word in rest], variables)
        case ["USE", _]:
            return use(session, statement.tokens[1].text)
        case ["BEGIN", "TRAN" | "TRANSACTION", *_]:
            return begin(session)
        case ["COMMIT", *_]:
            return commit(session)
        case ["ROLLBACK", *rest] if len(rest) <= 1:
            if not session.transactions.depth:
                raise SqlError(
                    3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION."
                )
            return rollback(session)
        case ["PRINT", *_]:
            value = session.scalar(statement.text[len("print") :], variables)
            return tokens.information(0, "" if value is None else str(value))
        case _:
            if words[0] in STARTS:
                raise unsupported(f"the statement {' '.join(words[:2])}")
            raise syntax_error(statement.tokens[0].text)


def begin(session: "Session") -> bytes:
    """BEGIN TRANSACTION."""
    session.transactions.begin()
    if session.transactions.depth > 1:
        return b""
    return tokens.environment_bytes(tokens.TRANSACTION_BEGUN, descriptor(session))


def commit(session: "Session") -> bytes:
    """COMMIT TRANSACTION."""
    session.commit()
    if session.transactions.depth:
        return b""
    return tokens.environment_bytes(tokens.TRANSACTION_COMMITTED, b"", descriptor(session))


def rollback(session: "Session") -> bytes:
    """ROLLBACK TRANSACTION."""
    session.rollback()
    return tokens.environment_bytes(tokens.TRANSACTION_ROLLED_BACK, b"", descriptor(session))


def descriptor(session: "Session") -> bytes:
    """The transaction's number, which clients send back with each request."""
    return session.state.spid.to_bytes(8, "little")


def use(session: "Session", name: str) -> bytes:
    """USE: the home database and `master` are there."""
    home = session.state.home_database
    if name.lower() not in {home.lower(), *SYSTEM_DATABASES}:
        raise SqlError(
            911, f"Database '{name}' does not exist. Make sure that the name is entered correctly."
        )
    old, session.state.database = (
        session.state.database,
        home if name.lower() == home.lower() else name,
    )
    changed = tokens.environment_text(1, session.state.database, old)
    return changed + tokens.information(
        5701, f"Changed database context to '{session.state.database}'.", 2
    )


def _set(
    session: "Session", statement: Statement, words: list[str], variables: dict[str, Value]
) -> bytes:
    if (words and words[0].startswith("@")) or words[:1] == ["@"]:
        assign(session, statement, variables)
        return b""
    match words:
        case ["TRANSACTION", "ISOLATION", "LEVEL", *level]:
            try:
                session.transactions.isolation = Isolation(" ".join(level).lower())
            except ValueError:
                raise syntax_error(" ".join(level)) from None
        case ["IDENTITY_INSERT", *name, "ON" | "OFF" as switch]:
            reader = TokenReader(statement.text, statement.tokens)
            reader.position = 2
            parts = reader.qualified()
            table = session.catalogue.find(parts[-2] if len(parts) > 1 else "dbo", parts[-1])
            if table is None:
                raise unknown_object(".".join(name))
            session.state.identity_insert = table.object_id if switch == "ON" else None
        case [*names, "ON" | "OFF" as switch]:
            for name in "".join(names).split(",") if "," in names else [names[0]]:
                fine = (
                    name in _EITHER
                    or (name in _ALWAYS_ON and switch == "ON")
                    or (name in _ALWAYS_OFF and switch == "OFF")
                )
                if not fine:
                    raise unsupported(f"SET {name} {switch}")
        case [name, *value] if name in _WITH_VALUE:
            kept = _KEPT_VALUES.get(name)
            if name == "LOCK_TIMEOUT":
                session.state.lock_timeout = _milliseconds("".join(value))
            if name == "DEADLOCK_PRIORITY":
                session.state.deadlock_priority = _priority("".join(value))
            if kept is not None and "".join(value).lower() not in kept:
                raise unsupported(f"SET {name} {''.join(value)}")
        case _:
            raise unsupported(f"SET {' '.join(words[:3])}")
    return b""


def _milliseconds(text: str) -> int:
    """How long a statement waits for a lock: -1 for ever, 0 not at all."""
    try:
        return max(int(text), -1)
    except ValueError:
        raise syntax_error(text) from None


def _priority(text: str) -> int:
    """Who gives way in a deadlock: the lowest.

    https://learn.microsoft.com/sql/t-sql/statements/set-deadlock-priority-transact-sql
    """
    named = {"LOW": -5, "NORMAL": 0, "HIGH": 5}
    if text in named:
        return named[text]
    try:
        number = int(text)
    except ValueError:
        raise syntax_error(text) from None
    if not -10 <= number <= 10:
        raise syntax_error(text)
    return number


def declare(session: "Session", statement: Statement, variables: dict[str, Value]) -> None:
    """DECLARE of scalar variables, with or without a value."""
    reader = TokenReader(statement.text, statement.tokens)
    reader.expect("DECLARE")
    while True:
        name = _variable(reader)
        _ = reader.accept("AS")
        if reader.peek() == "TABLE":
            raise unsupported("table variables")
        kind = read_type(reader)
        value: object = None
        if reader.accept("="):
            start, depth = reader.position, 0
            while reader.more() and not (depth == 0 and reader.peek() == ","):
                depth += {"(": 1, ")": -1}.get(reader.peek(), 0)
                reader.position += 1
            value = session.scalar(reader.text(start, reader.position), variables, kind)
        variables[name] = Value(kind, value)
        if not reader.accept(","):
            return


def assign(session: "Session", statement: Statement, variables: dict[str, Value]) -> None:
    """SET @variable = expression."""
    reader = TokenReader(statement.text, statement.tokens)
    reader.expect("SET")
    name = _variable(reader)
    if name not in variables:
        raise undeclared_variable(name)
    reader.expect("=")
    kind = variables[name].type
    variables[name] = Value(
        kind, session.scalar(reader.text(reader.position, len(reader.tokens)), variables, kind)
    )


def _variable(reader: TokenReader) -> str:
    """The name behind @, in lower case."""
    _ = reader.accept("@")
    return reader.name().lstrip("@").lower()
