"""Dagster's Postgres storage with connections that are kept.

`dagster_postgres` opens a connection for every query, unless it is the webserver's: sixty for a run of
two steps, each a login and a new process of Postgres. Here every process keeps what it has opened, and
tries a kept connection before it is used, so that a restart of Postgres harms no run.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
import sqlalchemy
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import pg_url_from_config, retry_pg_connection_fn
from typing_extensions import override

from tranship.bounded_connections import BoundedConnection
from tranship.dagster_private.instance_parts import ConfigurableClassData
from tranship.dagster_private.storing import DagsterStorage, PostgresStorageConfig, pg_config
from tranship.tls import system_authorities

#: Kept at most; a run uses one or two, the daemon's threads more.
_KEPT = 5
#: Opened beyond those while they are needed.
_MORE = 25
#: What the three storages look for when they are made; each would ask in a connection of its own.
_MAIN_TABLES = ("runs", "instance_info", "event_logs", "jobs")
#: Firewalls forget connections that are idle for longer.
_MAX_AGE_SECONDS = 300
#: A kept connection that the network forgot is noticed in so many seconds, where the kernel alone would send to it
#: for a quarter of an hour. Of all connections, the one that waits for notifications included.
_LOST_SECONDS = 20
_NOTICED = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": str(_LOST_SECONDS * 1000),
    "connect_timeout": "10",
}
#: A server that lives and says nothing is given up after so many seconds; Dagster's own statements are short.
_ANSWER_SECONDS = 300.0


class PooledPostgresStorage(DagsterPostgresStorage):
    """`dagster_postgres.DagsterPostgresStorage` with one pool of connections for each process.

    Takes the same configuration, and `sslmode`: libpq's, by which the server is verified with the authorities that this
    machine trusts, those of `SSL_CERT_FILE`.

    Args:
        postgres_url: The database.
        should_autocreate_tables: Whether missing tables are made.
        inst_data: Dagster's own.
        token_provider: Makes passwords for databases that want a new one for each connection.

    Example:
        In dagster.yaml::

            storage:
              custom:
                module: tranship.runs.storage
                class: PooledPostgresStorage
                config:
                  postgres_db: {hostname: postgres, ...}
                  sslmode: verify-full
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ):
        # The parent's own constructor would make storages without a pool.
        DagsterStorage.__init__(self)
        postgres_url = _noticing(postgres_url)
        self.postgres_url = postgres_url
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        engine = _engine(
            postgres_url,
            token_provider,
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT,
            max_overflow=_MORE,
            pool_recycle=_MAX_AGE_SECONDS,
            pool_pre_ping=True,
            # The one used last is used next: what a moment of many threads needed becomes idle, and is closed.
            pool_use_lifo=True,
            connect_args={"connection_factory": _StorageConnection},
        )
        options = {
            "postgres_url": postgres_url,
            "should_autocreate_tables": should_autocreate_tables
            and not retry_pg_connection_fn(lambda: _has_tables(engine)),
            **({} if token_provider is None else {"token_provider": token_provider}),
        }
        self._run_storage = _RunStorage(engine, **options)
        self._event_log_storage = _EventLogStorage(engine, **options)
        self._schedule_storage = _ScheduleStorage(engine, **options)

    @classmethod
    @override
    def config_type(cls) -> dict[str, Any]:
        own = dg.Field(
            dg.StringSource,
            is_required=False,
            description="libpq's sslmode, such as verify-full; empty for libpq's own default.",
        )
        parents = cast("Mapping[str, Any]", pg_config())
        return {**parents, "sslmode": own}

    @classmethod
    @override
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> "PooledPostgresStorage":
        return cls(
            inst_data=inst_data,
            postgres_url=encrypted(pg_url_from_config(config_value), config_value.get("sslmode")),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=_token_provider(config_value),
        )


class _StorageConnection(BoundedConnection):
    answer_seconds = _ANSWER_SECONDS


class _Pooled:
    """A storage of Dagster's on an engine that is given to it."""

    def __init__(self, engine: sqlalchemy.Engine, **options: Any):
        super().__init__(**options)
        self._engine = engine

    def dispose(self) -> None:
        """Close the kept connections too."""
        super().dispose()  # pyright: ignore[reportAttributeAccessIssue]
        self._engine.dispose()


class _RunStorage(_Pooled, PostgresRunStorage):
    pass


class _EventLogStorage(_Pooled, PostgresEventLogStorage):
    pass


class _ScheduleStorage(_Pooled, PostgresScheduleStorage):
    pass


# Token providers came after dagster-postgres 0.28, with which this is to work too: they are imported where they are asked for.


def _token_provider(config_value: PostgresStorageConfig) -> Any:
    if not config_value.get("auth_provider"):
        return None
    from dagster_postgres.utils import get_token_provider_from_config

    return get_token_provider_from_config(config_value)


def _engine(postgres_url: str, token_provider: Any, **options: Any) -> sqlalchemy.Engine:
    if token_provider is None:
        return sqlalchemy.create_engine(postgres_url, **options)
    from dagster_postgres.utils import create_pg_engine

    return create_pg_engine(postgres_url, token_provider, **options)


def encrypted(postgres_url: str, sslmode: object) -> str:
    """The address with the way that its server is verified.

    Args:
        postgres_url: The address.
        sslmode: libpq's; nothing is added where it is empty.

    Example:
        >>> encrypted("postgresql+psycopg2://u@h/d", "require")
        'postgresql+psycopg2://u@h/d?sslmode=require'
    """
    if not sslmode:
        return postgres_url
    url = sqlalchemy.make_url(postgres_url).update_query_dict({"sslmode": str(sslmode)})
    if str(sslmode).startswith("verify") and (authorities := system_authorities()):
        url = url.update_query_dict({"sslrootcert": authorities})
    return url.render_as_string(hide_password=False)


def _noticing(postgres_url: str) -> str:
    """The address with limits for a peer that is gone; those that it has stay.

    Example:
        >>> _noticing("postgresql://u@h/d?keepalives_idle=3").count("keepalives_idle")
        1
    """
    url = sqlalchemy.make_url(postgres_url)
    missing = {key: value for key, value in _NOTICED.items() if key not in url.query}
    return url.update_query_dict(missing).render_as_string(hide_password=False)


def _has_tables(engine: sqlalchemy.Engine) -> bool:
    """Whether every storage's main tables are there."""
    statement = sqlalchemy.text(
        "select count(*) = 0 from unnest(cast(:tables as text[])) as wanted"
        " where to_regclass(quote_ident(wanted)) is null"
    )
    with engine.connect() as connection:
        return bool(connection.execute(statement, {"tables": list(_MAIN_TABLES)}).scalar())
