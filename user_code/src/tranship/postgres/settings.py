"""Where a Postgres server is and how to log in to it: one immutable value that never shows its password."""

from dataclasses import dataclass, field
from typing import Self

from tranship.errors import ConfigurationError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM_CERTIFICATES = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """Where the server is, who we are there, and how long we wait for it.

    Args:
        host: Host name or address; a path is the folder of a unix socket.
        port: TCP port.
        database: The database; a write never leaves it.
        user: The role to connect as.
        password: Its password; `None` where the server asks for none. Never shown.
        sslmode: libpq's `sslmode`. `prefer` encrypts where the server can and verifies nothing;
            `verify-full` also checks the certificate and its host name.
        sslrootcert: File of the certificate authorities to trust, or `system` for this machine's
            own; by default `system` where the mode is `verify-ca` or `verify-full`.
        connect_timeout_seconds: How long to wait for the server to answer.
        application_name: What `pg_stat_activity` shows.
        statement_timeout_seconds: The server ends a statement that runs longer; 0 waits for ever.
        lock_wait_seconds: How long a write waits for another writer of the same table, and for
            readers that stand in the way of a swap, before it gives up.

    Example:
        >>> PostgresSettings(host="127.0.0.1", database="warehouse", user="etl", password="secret")
        PostgresSettings(host='127.0.0.1', port=5432, database='warehouse', user='etl', sslmode='prefer', sslrootcert=None, connect_timeout_seconds=10, application_name='tranship', statement_timeout_seconds=0, lock_wait_seconds=600.0)
    """

    host: str
    port: int = 5432
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    connect_timeout_seconds: int = 10
    application_name: str = "tranship"
    statement_timeout_seconds: float = 0
    lock_wait_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.sslmode not in SSL_MODES:
            raise ConfigurationError(
                f"sslmode is {self.sslmode!r}.", f"Use one of {', '.join(SSL_MODES)}."
            )

    @classmethod
    def from_url(cls, url: str, **settings: object) -> Self:
        """Read `postgresql+psycopg2://user:password@host:port/database?sslmode=require`.

        Args:
            url: The address; `sslmode`, `sslrootcert`, `connect_timeout` and `application_name` are
                understood in its query, and `host` for the folder of a unix socket.
            settings: Any other field of this class, by name.

        Raises:
            ConfigurationError: The text is not such an address.

        Example:
            >>> PostgresSettings.from_url("postgresql://etl:secret@db/warehouse").port
            5432
        """
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
        query = {key: str(value) for key, value in parsed.query.items()}
        names = {"connect_timeout": "connect_timeout_seconds"}
        known = {"host", "sslmode", "sslrootcert", "application_name", "connect_timeout"}
        if unknown := sorted(set(query) - known):
            raise ConfigurationError(
                f"The Postgres address has unknown settings: {', '.join(unknown)}.",
                f"Known are {', '.join(sorted(known))}.",
            )
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

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"
