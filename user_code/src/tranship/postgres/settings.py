"""Where a Postgres server is and how to log in to it: one immutable value that never shows its password."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.secret import hides_arguments, quiet
from tranship.settings import Setting, Settings, tcp_port
from tranship.tls import sslmode_for, sslmode_of

if TYPE_CHECKING:
    import sqlalchemy as sa

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
"""https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS"""
SYSTEM_CERTIFICATES = "system"


@dataclass(frozen=True, kw_only=True, repr=False)
class PostgresFields:
    """What can be set of a Postgres: where the server is, who we are there, and how long we wait for it."""

    host: Annotated[
        str,
        Setting(
            "Host name or address; a path is the folder of a unix socket. Several are named with commas, each with a "
            "port of its own where it has one: db1,db2:5433.",
            "HOST",
            needed=True,
        ),
    ]
    port: Annotated[int, Setting("TCP port.", "PORT", read=tcp_port)] = 5432
    database: Annotated[
        str, Setting("The database; a write never leaves it.", "DATABASE", needed=True)
    ]
    user: Annotated[
        str,
        Setting(
            "The role to connect as. It needs CREATE on the schemas it writes.", "USER", needed=True
        ),
    ]
    password: Annotated[
        str | None,
        Setting(
            "The role's password; none where the server asks for none. Give it as an EnvVar.",
            "PASSWORD",
            secret=True,
            needed=True,
        ),
    ] = None
    sslmode: Annotated[
        str | None,
        Setting(
            "libpq's sslmode; by default verify-full, which checks the certificate and its host name, and on this "
            "machine (loopback addresses, sockets) prefer, which verifies nothing.",
            "SSLMODE",
        ),
    ] = None
    sslrootcert: Annotated[
        str | None,
        Setting(
            "PEM file of the certificate authorities to trust, or system for this machine's own, which is the default."
        ),
    ] = None
    connect_timeout_seconds: Annotated[
        int, Setting("How long to wait for the server to answer.")
    ] = 10
    application_name: Annotated[str, Setting("What pg_stat_activity shows.")] = "tranship"
    statement_timeout_seconds: Annotated[
        float, Setting("The server ends a statement that runs longer; 0 waits for ever.")
    ] = 0
    lock_wait_seconds: Annotated[
        float,
        Setting(
            "How long a write waits for another writer of the same table, and for readers that stand in the way of a "
            "swap, before it gives up."
        ),
    ] = 600.0
    answer_timeout_seconds: Annotated[
        float,
        Setting(
            "How long a call may wait for a server that says nothing before the connection is given up; 0 waits for "
            "ever. A server that is gone is noticed within two minutes."
        ),
    ] = 21_600.0
    target_session_attrs: Annotated[
        str | None,
        Setting(
            "Which of several hosts to take, in libpq's words; by default the one that takes writes where several are "
            "named, and any where there is one."
        ),
    ] = None


@quiet
@dataclass(frozen=True, kw_only=True, repr=False)
class PostgresSettings(PostgresFields, Settings):
    """Where the server is, who we are there, and how long we wait for it: the fields of `PostgresFields`, checked.

    Raises:
        ConfigurationError: A setting cannot be used.

    Example:
        >>> PostgresSettings(host="127.0.0.1", database="warehouse", user="etl", password="secret")
        PostgresSettings(host='127.0.0.1', port=5432, database='warehouse', user='etl', sslmode=None, sslrootcert=None, connect_timeout_seconds=10, application_name='tranship', statement_timeout_seconds=0, lock_wait_seconds=600.0, answer_timeout_seconds=21600.0, target_session_attrs=None)
    """

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answer_timeout_seconds < 0:
            raise ConfigurationError(
                f"answer_timeout_seconds is {self.answer_timeout_seconds}.",
                "Give 0 or more seconds (0: no limit).",
            )
        if self.target_session_attrs not in {None, *SESSION_ATTRIBUTES}:
            raise ConfigurationError(
                f"target_session_attrs is {self.target_session_attrs!r}.",
                f"Use one of {', '.join(SESSION_ATTRIBUTES)}.",
            )
        if self.sslmode is not None and self.sslmode not in SSL_MODES:
            raise ConfigurationError(
                f"sslmode is {self.sslmode!r}.", f"Use one of {', '.join(SSL_MODES)}."
            )

    @property
    def tls_mode(self) -> str:
        """The sslmode that a connection is made with: what is set, or what is safe for the host."""
        return self.sslmode or sslmode_for(self.host)

    @classmethod
    @override
    def of_deployment(cls, environment: Mapping[str, str], prefix: str) -> dict[str, object]:
        return {"sslmode": sslmode_of(environment, prefix)}

    @classmethod
    @hides_arguments
    def from_url(cls, url: str, **settings: object) -> Self:
        """Read `postgresql+psycopg2://user:password@host:port/database?sslmode=require`.

        Args:
            url: The address; `sslmode`, `sslrootcert`, `connect_timeout` and `application_name` are
                understood in its query, `target_session_attrs`, and `host` for the folder of a unix socket or for
                several hosts (`?host=db1:5432&host=db2:5432`).
            settings: Any other field of this class, by name.

        Raises:
            ConfigurationError: The text is not such an address.

        Example:
            >>> PostgresSettings.from_url("postgresql://etl:secret@db/warehouse").port
            5432
        """
        parsed = _parsed(url)
        query = _query_of(parsed)
        names = {"connect_timeout": "connect_timeout_seconds"}
        fields: dict[str, object] = {
            names.get(key, key): int(value) if key == "connect_timeout" else value
            for key, value in query.items()
        }
        host = parsed.host or fields.pop("host", None) or "localhost"
        defaults: dict[str, object] = {
            "host": host,
            "port": parsed.port or 5432,
            "database": parsed.database or "postgres",
            "user": parsed.username or "postgres",
            "password": parsed.password,
        }
        return cls(**{**defaults, **fields, **settings})  # pyright: ignore[reportArgumentType]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Each host with its port.

        Example:
            >>> PostgresSettings(host="db1,db2:5433", database="w", user="etl").addresses
            ('db1:5432', 'db2:5433')
        """
        return tuple(f"{host}:{port}" for host, port in self._hosts())

    def libpq_hosts(self) -> dict[str, Any]:
        """Hosts, ports, and which of them to take, as libpq wants them."""
        hosts = self._hosts()
        wanted = self.target_session_attrs or ("read-write" if len(hosts) > 1 else "any")
        return {
            "host": ",".join(host for host, _ in hosts),
            "port": ",".join(port for _, port in hosts),
            "target_session_attrs": wanted,
        }

    def _hosts(self) -> list[tuple[str, str]]:
        parts = [part.strip() for part in self.host.split(",") if part.strip()]
        return [_with_port(part, self.port) for part in parts] or [(self.host, str(self.port))]

    def __str__(self) -> str:
        return f"{self.user}@{','.join(self.addresses)}/{self.database}"


def _with_port(part: str, usual: int) -> tuple[str, str]:
    """A host and its port; the colons of an IPv6 address or a path are no port's."""
    host, colon, port = part.rpartition(":")
    if colon and port.isdecimal() and "/" not in part and (":" not in host or host.endswith("]")):
        return host.strip("[]"), port
    return part.strip("[]"), str(usual)


def _parsed(url: str) -> "sa.URL":
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # The driver's message repeats the text, and with it the password.
        raise ConfigurationError(
            "The Postgres address is not a URL.",
            "Write postgresql://user:password@host:5432/database.",
        ) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"{parsed.drivername!r} is not Postgres.",
            "Write postgresql://user:password@host:5432/database.",
        )
    return parsed


def _query_of(url: "sa.URL") -> dict[str, str]:
    """The settings in an address, of which only those of libpq that we know are taken."""
    query = {
        key: value if isinstance(value, str) else ",".join(value)
        for key, value in url.query.items()
    }
    known = {"host", "sslmode", "sslrootcert", "application_name", "connect_timeout"}
    known |= {"target_session_attrs"}
    if unknown := sorted(set(query) - known):
        raise ConfigurationError(
            f"The Postgres address has unknown settings: {', '.join(unknown)}.",
            f"Known are {', '.join(sorted(known))}.",
        )
    if not query.get("connect_timeout", "0").isdecimal():
        raise ConfigurationError(
            f"connect_timeout of the Postgres address is {query['connect_timeout']!r}.",
            "Give whole seconds.",
        )
    return query
