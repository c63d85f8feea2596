"""Where a SQL Server is and how to log in to it: one immutable value that never shows its password."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import parse_qsl, unquote

from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.secret import hides_arguments, quiet
from tranship.settings import Setting, Settings, tcp_port
from tranship.tls import has_no_certificate

if TYPE_CHECKING:
    import sqlalchemy as sa

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


@dataclass(frozen=True, kw_only=True, repr=False)
class SqlServerFields:
    """What can be set of a SQL Server."""

    host: Annotated[
        str,
        Setting(
            "Host name or address. An instance is named by its port, not as host\\instance.",
            "HOST",
            needed=True,
        ),
    ]
    port: Annotated[int, Setting("TCP port.", "PORT", read=tcp_port)] = 1433
    database: Annotated[str, Setting("The database to read.", "DATABASE", needed=True)]
    user: Annotated[
        str,
        Setting(
            "SQL Server login. It needs SELECT on the tables, no more. It and the password may be empty where "
            "driver_keywords name another way in: Authentication or Trusted_Connection.",
            "USER",
            needed=True,
        ),
    ] = ""
    password: Annotated[
        str,
        Setting(
            "The login's password. Give it as an EnvVar.", "PASSWORD", secret=True, needed=True
        ),
    ] = ""
    encrypt: Annotated[
        str,
        Setting(
            "yes (TLS, certificate verified), strict (TDS 8, SQL Server 2022 and later), or no."
        ),
    ] = "yes"
    trust_server_certificate: Annotated[
        bool,
        Setting(
            "Accept any certificate. For a server of your own on a network of your own: the stock SQL Server "
            "container signs its own. To verify one of your own authority instead, set SSL_CERT_FILE to its PEM file.",
            "TRUST_CERTIFICATE",
        ),
    ] = False
    connect_timeout_seconds: Annotated[
        int, Setting("How long to wait for the server to answer and log in.")
    ] = 10
    query_timeout_seconds: Annotated[
        int, Setting("How long a statement may take until its first row; 0 is no limit.")
    ] = 0
    answer_timeout_seconds: Annotated[
        int,
        Setting(
            "How long the server may say nothing, in a statement or between two batches, before the connection is cut "
            "and the read tried again; 0 is no limit."
        ),
    ] = 7200
    application_intent: Annotated[
        str, Setting("ReadOnly lets an availability group send the connection to a replica.")
    ] = "ReadWrite"
    driver_keywords: Annotated[
        Mapping[str, str], Setting('Further ODBC keywords, such as {"MultiSubnetFailover": "yes"}.')
    ] = field(default_factory=dict[str, str])


@quiet
@dataclass(frozen=True, kw_only=True, repr=False)
class SqlServerSettings(SqlServerFields, Settings):
    """A SQL Server, a database on it, and a login: the fields of `SqlServerFields`, checked.

    Raises:
        ConfigurationError: A setting is missing or contradicts another one.

    Example:
        >>> SqlServerSettings(host="db", database="dw", user="etl", password="hunter2").address
        'db:1433'
    """

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encrypt", _encrypt_of(self.encrypt))
        object.__setattr__(self, "application_intent", _intent_of(self.application_intent))
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
    @override
    def of_deployment(cls, environment: Mapping[str, str], prefix: str) -> dict[str, object]:
        return {"trust_server_certificate": has_no_certificate(environment, prefix)}

    @classmethod
    @hides_arguments
    def from_url(cls, url: "str | sa.URL") -> Self:
        """Read a SQLAlchemy URL: `mssql+mssqlpython://user:password@host:port/database?Encrypt=no`.

        Raises:
            ConfigurationError: The text is no URL, or a part is missing.
        """
        text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
        parts = _URL.match(text)
        port = (parts["port"] if parts else None) or str(cls.port)
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
            encrypt=encrypt,
            trust_server_certificate=trust.lower() in {"yes", "true", "1"},
            application_intent=intent,
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


def _encrypt_of(text: str) -> str:
    """The setting for any of the words that the ODBC driver takes for it."""
    words = {
        "yes": "yes", "true": "yes", "mandatory": "yes",
        "no": "no", "false": "no", "optional": "no",
        "strict": "strict",
    }  # fmt: skip
    if (word := words.get(text.lower())) is None:
        raise ConfigurationError(f"encrypt is {text!r}.", "Give one of yes, no, strict.")
    return word


def _intent_of(text: str) -> str:
    """The setting for its word in any case."""
    words = {"readwrite": "ReadWrite", "readonly": "ReadOnly"}
    if (word := words.get(text.lower())) is None:
        raise ConfigurationError(f"application_intent is {text!r}.", "Give ReadWrite or ReadOnly.")
    return word
