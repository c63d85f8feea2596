"""Errors with the numbers and texts of SQL Server, and the one that says what the stand-in does not support."""

UNSUPPORTED_NUMBER = 50000
"""SQL Server leaves numbers from 50000 to users; the stand-in uses the first for what it cannot do."""


class SqlError(Exception):
    """An error that travels to the client as a TDS ERROR token.

    Args:
        number: error number as in `sys.messages`.
        message: the text a user reads.
        severity: 11-16 for errors of the statement, 20 and up end the connection.
        state: SQL Server's state number.
        followed_by: the error that SQL Server sends behind it, such as 5069 behind the cause of a failed ALTER DATABASE.
    """

    def __init__(
        self,
        number: int,
        message: str,
        severity: int = 16,
        state: int = 1,
        followed_by: "SqlError | None" = None,
    ) -> None:
        super().__init__(message)
        self.number = number
        self.message = message
        self.severity = severity
        self.state = state
        self.followed_by = followed_by


def unsupported(construct: str) -> SqlError:
    """The stand-in does not know `construct`: an error, never a wrong answer."""
    return SqlError(
        UNSUPPORTED_NUMBER,
        f"The SQL Server stand-in does not support {construct}. Use a real SQL Server for it.",
    )


def login_failed(user: str) -> SqlError:
    """18456, the same text for a wrong user and a wrong password."""
    return SqlError(18456, f"Login failed for user '{user}'.", 14)


def unknown_database(database: str) -> SqlError:
    """4060: the login names a database which does not exist."""
    return SqlError(
        4060,
        f'Cannot open database "{database}" requested by the login. The login failed.',
        11,
    )


def unknown_object(name: str) -> SqlError:
    """208, with the name as the client wrote it."""
    return SqlError(208, f"Invalid object name '{name}'.")


def unknown_column(name: str) -> SqlError:
    """207: no source of the query has this column."""
    return SqlError(207, f"Invalid column name '{name}'.")


def unbound_identifier(name: str) -> SqlError:
    """4104: the qualifier in front of the column is no source of the query."""
    return SqlError(4104, f'The multi-part identifier "{name}" could not be bound.')


def syntax_error(near: str) -> SqlError:
    """102: the parser gave up near this text."""
    return SqlError(102, f"Incorrect syntax near '{near}'.", 15)


def undeclared_variable(name: str) -> SqlError:
    """137: a variable or parameter that nobody declared."""
    return SqlError(137, f'Must declare the scalar variable "@{name}".', 15, 2)


def transaction_doomed(cause: str) -> SqlError:
    """3930: an earlier error ended what the transaction can do; `cause` says why it could not be kept open."""
    return SqlError(
        3930,
        "The current transaction cannot be committed and cannot support operations that write to the log "
        f"file. Roll back the transaction. (Stand-in: {cause})",
    )
