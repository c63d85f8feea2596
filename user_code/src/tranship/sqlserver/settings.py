"""Where a SQL Server is and how to log in to it: one immutable value that never shows its password."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qsl, unquote

from tranship.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

Encrypt = Literal["yes", "no", "strict"]
ApplicationIntent = Literal["ReadWrite", "ReadOnly"]

DEFAULT_PORT = 1433
_OWN_KEYWORDS = {
    "server", "address", "addr", "database", "uid", "pwd", "encrypt", "trustservercertificate",
    "trust_server_certificate", "applicationintent", "driver", "app",
}  # fmt: skip

# https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory: with a password are only
# SqlPassword, ActiveDirectoryPassword and ActiveDirectoryServicePrincipal.
_WITHOUT_PASSWORD = frozenset(
    {
        "activedirectorymsi", "activedirectorydefault", "activedirectoryintegrated",
        "activedirectoryinteractive", "activedirectorydevicecode",
    }
)  # fmt: skip

# The rules of SQLAlchemy's URLs, not those of the web's: a password may hold #, ? and / as they are.
_URL = re.compile(
    r"[\w+]+://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<bracketed>[^/?]+)\]|(?P<plain>[^/:?]+))?"
    r"(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlServerSettings:
    r"""A SQL Server, a database on it, and a login.

    Args:
        host: Host name or address. An instance is named by its port, not as `host\instance`.
        database: The database to read.
        user: SQL Server login. It and the password may be empty where driver_keywords name another way in:
            `{"Authentication": "ActiveDirectoryMsi"}`, `{"Trusted_Connection": "yes"}`.
        password: Its password; it is in no message, representation or log.
        port: TCP port.
        encrypt: `yes` (TLS, the default), `strict` (TDS 8, SQL Server 2022), or `no`.
        trust_server_certificate: Accept any certificate. For a server of your own on a network of
            your own; the stock SQL Server container signs its certificate itself.
        connect_timeout_seconds: How long to wait for the server to answer and log in.
        query_timeout_seconds: How long one statement may take until its first row; 0 is no limit.
        answer_timeout_seconds: How long the server may say nothing, in a statement or between two batches,
            before the connection is cut and the read tried again; 0 is no limit.
        application_intent: `ReadOnly` lets an availability group send the connection to a replica.
        driver_keywords: Further ODBC keywords, such as `{"MultiSubnetFailover": "yes"}`.

    Raises:
        ConfigurationError: A setting is missing or contradicts another one.

    Example:
        >>> SqlServerSettings(host="db", database="dw", user="etl", password="hunter2").address
        'db:1433'
    """

    host: str
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    port: int = DEFAULT_PORT
    encrypt: Encrypt = "yes"
    trust_server_certificate: bool = False
    connect_timeout_seconds: int = 10
    query_timeout_seconds: int = 0
    answer_timeout_seconds: int = 7200
    application_intent: ApplicationIntent = "ReadWrite"
    driver_keywords: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("host", "database", *self._needed_of_login()):
            if not getattr(self, name):
                raise ConfigurationError(f"The SQL Server's {name} is empty.", f"Set {name}.")
        if "\\" in self.host or "," in self.host:
            raise ConfigurationError(
                f"The SQL Server's host is {self.host!r}, which names an instance or a port too.",
                "Give the host alone, and the instance's TCP port as port.",
            )
        if not 0 < self.port < 65536:
            raise ConfigurationError(
                f"The SQL Server's port is {self.port}.", "Give 1 to 65535; 1433 is usual."
            )
        if (
            self.connect_timeout_seconds < 1
            or min(self.query_timeout_seconds, self.answer_timeout_seconds) < 0
        ):
            raise ConfigurationError(
                f"The SQL Server timeouts are {self.connect_timeout_seconds} s to connect, "
                f"{self.query_timeout_seconds} s per query and {self.answer_timeout_seconds} s per answer.",
                "Give at least 1 s to connect, and 0 or more per query and answer (0: no limit).",
            )
        doubled = sorted(key for key in self.driver_keywords if key.lower() in _OWN_KEYWORDS)
        if doubled:
            raise ConfigurationError(
                f"driver_keywords repeats settings that have a name of their own: {', '.join(doubled)}.",
                "Set host, port, database, user, password, encrypt, trust_server_certificate or "
                "application_intent instead.",
            )

    def _needed_of_login(self) -> tuple[str, ...]:
        """What a login needs, by how the driver is told to log in."""
        keywords = {key.lower(): value.lower() for key, value in self.driver_keywords.items()}
        if keywords.get("trusted_connection") in {"yes", "true"}:
            return ()
        return () if keywords.get("authentication") in _WITHOUT_PASSWORD else ("user", "password")

    @classmethod
    def from_url(cls, url: "str | sa.URL") -> Self:
        """Read a SQLAlchemy URL: `mssql+mssqlpython://user:password@host:port/database?Encrypt=no`.

        Raises:
            ConfigurationError: The text is no URL, or a part is missing.
        """
        text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
        parts = _URL.match(text)
        port = (parts["port"] if parts else None) or str(DEFAULT_PORT)
        if parts is None or not port.isdecimal():
            # Not shown: what cannot be read may hold the password.
            raise ConfigurationError(
                "The SQL Server's URL cannot be read.",
                "Write mssql+mssqlpython://user:password@host:port/database and percent-encode "
                "special characters of the password.",
            )
        # Of a keyword that comes twice in the same case, the last value counts.
        spelled = dict(parse_qsl(parts["query"] or ""))
        query = {key.lower(): (key, value) for key, value in spelled.items()}
        _, encrypt = query.pop("encrypt", ("", "yes"))
        _, trust = query.pop("trustservercertificate", ("", "no"))
        _, intent = query.pop("applicationintent", ("", "ReadWrite"))
        return cls(
            host=parts["plain"] or parts["bracketed"] or "",
            port=int(port),
            database=unquote(parts["database"] or ""),
            user=unquote(parts["user"] or ""),
            password=unquote(parts["password"] or ""),
            encrypt=encrypt_of(encrypt),
            trust_server_certificate=trust.lower() in {"yes", "true", "1"},
            application_intent=intent_of(intent),
            driver_keywords=dict(query.values()),
        )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    def keywords(self) -> dict[str, str]:
        """Everything but user and password, in the words of the ODBC driver."""
        return {
            "Encrypt": self.encrypt,
            "TrustServerCertificate": "yes" if self.trust_server_certificate else "no",
            "ApplicationIntent": self.application_intent,
            **self.driver_keywords,
        }

    def url(self) -> "sa.URL":
        """The SQLAlchemy URL; it hides its password when printed."""
        import sqlalchemy as sa

        return sa.URL.create(
            "mssql+mssqlpython",
            username=self.user or None,
            password=self.password or None,
            host=self.host,
            port=self.port,
            database=self.database,
            query=self.keywords(),
        )


def encrypt_of(text: str) -> Encrypt:
    """The setting for any of the words that the ODBC driver takes for it.

    Raises:
        ConfigurationError: The text is none of them.
    """
    words: dict[str, Encrypt] = {
        "yes": "yes", "true": "yes", "mandatory": "yes",
        "no": "no", "false": "no", "optional": "no",
        "strict": "strict",
    }  # fmt: skip
    if (found := words.get(text.lower())) is None:
        raise ConfigurationError(f"encrypt is {text!r}.", "Give one of yes, no, strict.")
    return found


def intent_of(text: str) -> ApplicationIntent:
    """The setting for its word in any case.

    Raises:
        ConfigurationError: The text is neither `ReadWrite` nor `ReadOnly`.
    """
    words: dict[str, ApplicationIntent] = {"readwrite": "ReadWrite", "readonly": "ReadOnly"}
    if (found := words.get(text.lower())) is None:
        raise ConfigurationError(f"application_intent is {text!r}.", "Give ReadWrite or ReadOnly.")
    return found
