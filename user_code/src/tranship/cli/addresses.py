"""Where the systems are that a command talks to: a URL, or the variables that a deployment sets anyway."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from tranship.errors import ConfigurationError
from tranship.postgres.connection import PostgresSettings
from tranship.redshift.settings import RedshiftSettings
from tranship.replication.postgres_target import PostgresTarget
from tranship.replication.redshift_target import RedshiftTarget
from tranship.replication.targets import Target
from tranship.sqlserver.settings import SqlServerSettings

SOURCE = "TRANSHIP_SQLSERVER_"
TARGETS = {"postgres": "TRANSHIP_POSTGRES_", "redshift": "TRANSHIP_REDSHIFT_"}
SOURCE_URL = "mssql+mssqlpython://user:password@host:1433/database"
TARGET_URL = "postgresql://user:password@host:5432/database"

LOCK_WAIT_SECONDS = 30.0
"""How long a person waits for a load that is writing the table."""

_NOT_STAGED = "bookmarks-are-not-staged"


def source_settings(url: str | None, environment: Mapping[str, str]) -> SqlServerSettings:
    """The SQL Server to read from.

    Args:
        url: A SQLAlchemy URL. Its password may be left to TRANSHIP_SQLSERVER_PASSWORD, so that it does not
            stand on a command line that others can see.
        environment: The variables TRANSHIP_SQLSERVER_*.

    Raises:
        ConfigurationError: Neither says where it is.
    """
    if url is not None:
        parsed = _parsed(url, "source", SOURCE_URL, {"mssql"})
        return SqlServerSettings.from_url(_with_password(parsed, environment, SOURCE))
    found = _variables(
        environment, SOURCE, ("HOST", "DATABASE", "USER", "PASSWORD"), f"--source-url {SOURCE_URL}"
    )
    return SqlServerSettings(
        host=found["HOST"],
        port=_port(environment, SOURCE, 1433),
        database=found["DATABASE"],
        user=found["USER"],
        password=found["PASSWORD"],
        trust_server_certificate=environment.get(f"{SOURCE}TRUST_CERTIFICATE", "no") == "yes",
    )


def target_of(url: str | None, kind: str, environment: Mapping[str, str]) -> Target:
    """The target whose bookmarks are asked for.

    Args:
        url: `postgresql://...` or `redshift://...`; its password may be left to the environment too.
        kind: `postgres` or `redshift`, where there is no URL.
        environment: The variables TRANSHIP_POSTGRES_* or TRANSHIP_REDSHIFT_*.

    Raises:
        ConfigurationError: Neither says where it is.
    """
    if url is None:
        return _target_of_environment(kind, environment)
    parsed = _parsed(url, "target", TARGET_URL, {"postgresql", "postgres", "redshift"})
    named = "redshift" if parsed.drivername.startswith("redshift") else "postgres"
    parsed = _with_password(parsed, environment, TARGETS[named])
    if named == "redshift":
        sslmode = parsed.query.get("sslmode")
        return _redshift(
            host=parsed.host or "",
            port=parsed.port or 5439,
            database=parsed.database or "",
            user=parsed.username or "",
            password=parsed.password or "",
            sslmode=str(sslmode) if sslmode else None,
        )
    address = parsed.render_as_string(hide_password=False)
    return PostgresTarget(PostgresSettings.from_url(address, lock_wait_seconds=LOCK_WAIT_SECONDS))


def _target_of_environment(kind: str, environment: Mapping[str, str]) -> Target:
    prefix = TARGETS[kind]
    cluster = environment.get(f"{prefix}CLUSTER") if kind == "redshift" else None
    wanted = ("HOST", "DATABASE", "USER", *(() if cluster else ("PASSWORD",)))
    found = _variables(environment, prefix, wanted, f"--target-url {TARGET_URL}")
    if kind == "redshift":
        return _redshift(
            host=found["HOST"],
            port=_port(environment, prefix, 5439),
            database=found["DATABASE"],
            user=found["USER"],
            # With a cluster's name, temporary credentials are fetched instead.
            password=None if cluster else found["PASSWORD"],
            cluster_identifier=cluster,
        )
    return PostgresTarget(
        PostgresSettings(
            host=found["HOST"],
            port=_port(environment, prefix, 5432),
            database=found["DATABASE"],
            user=found["USER"],
            password=found["PASSWORD"],
            lock_wait_seconds=LOCK_WAIT_SECONDS,
        )
    )


def _redshift(
    *,
    host: str,
    port: int,
    database: str,
    user: str,
    password: str | None,
    sslmode: str | None = None,
    cluster_identifier: str | None = None,
) -> RedshiftTarget:
    return RedshiftTarget(
        RedshiftSettings(
            host=host,
            port=port,
            database=database,
            user=user,
            password=password,
            sslmode=sslmode,
            cluster_identifier=cluster_identifier,
            bucket_name=_NOT_STAGED,
            s3_iam_role=_NOT_STAGED,
        )
    )


def _parsed(url: str, what: str, example: str, allowed: set[str]) -> sa.URL:
    remedy = f"Write {example} and percent-encode special characters of the password."
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # Neither chained nor shown: what cannot be parsed may hold the password.
        raise ConfigurationError(f"The {what}'s URL cannot be read.", remedy) from None
    if parsed.drivername.partition("+")[0] not in allowed:
        raise ConfigurationError(
            f"The {what}'s URL begins with {parsed.drivername}://, which is no {what} of ours.",
            remedy,
        )
    return parsed


def _with_password(url: sa.URL, environment: Mapping[str, str], prefix: str) -> sa.URL:
    password = environment.get(f"{prefix}PASSWORD")
    return url.set(password=password) if password and not url.password else url


def _variables(
    environment: Mapping[str, str], prefix: str, names: tuple[str, ...], option: str
) -> dict[str, str]:
    found = {name: environment.get(f"{prefix}{name}", "") for name in names}
    if missing := [f"{prefix}{name}" for name, value in found.items() if not value]:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigurationError(
            f"{', '.join(missing)} {verb} not set.", f"Set what is missing, or give {option}."
        )
    return found


def _port(environment: Mapping[str, str], prefix: str, default: int) -> int:
    text = environment.get(f"{prefix}PORT") or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{prefix}PORT is {text!r}.", "Give a TCP port: 1 to 65535.")
    return int(text)
