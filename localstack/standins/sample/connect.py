"""Connects to a SQL Server, real or stand-in, from a URL, through the `mssql-python` driver."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import mssql_python

SCHEME = "mssql+mssqlpython"
DEFAULT_PORT = 1433
CANNOT_OPEN_DATABASE = "Cannot open database"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of `mssql+mssqlpython://USER:PASSWORD@HOST:PORT/DATABASE?Keyword=value`."""

    host: str
    port: int
    database: str
    user: str
    password: str
    options: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"ServerUrl({self.user}@{self.host}:{self.port}/{self.database})"

    def connection_string(self, database: str) -> str:
        """Return the ODBC connection string for one database of the server."""
        parts = {
            "Server": f"{self.host},{self.port}",
            "Database": _braced(database),
            "UID": _braced(self.user),
            "PWD": _braced(self.password),
            **dict(self.options),
        }
        return "".join(f"{keyword}={value};" for keyword, value in parts.items())


def parse_url(url: str, password: str = "") -> ServerUrl:
    """Take a URL apart; `password` is used where the URL has none.

    Raises:
        ValueError: If it is not such a URL or names no host, user or database.
    """
    parts = urlsplit(url)
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme != SCHEME or not (parts.hostname and parts.username and database):
        raise ValueError(
            f"the URL must look like {SCHEME}://USER:PASSWORD@HOST:PORT/DATABASE?Encrypt=no"
        )
    return ServerUrl(
        parts.hostname,
        parts.port or DEFAULT_PORT,
        database,
        unquote(parts.username),
        unquote(parts.password or "") or password,
        tuple(parse_qsl(parts.query)),
    )


def connect_creating_database(url: ServerUrl) -> mssql_python.Connection:
    """Connect to the database of the URL, creating it if the server does not have it."""
    try:
        return mssql_python.connect(url.connection_string(url.database))
    except mssql_python.Error as error:
        if CANNOT_OPEN_DATABASE not in str(error):
            raise
    server = mssql_python.connect(url.connection_string("master"), autocommit=True)
    try:
        quoted = url.database.replace("]", "]]")
        server.cursor().execute(f"create database [{quoted}]")
    finally:
        server.close()
    return mssql_python.connect(url.connection_string(url.database))


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"
