"""Where the systems are that a command talks to: a URL, or the variables that a deployment sets anyway."""

from collections.abc import Mapping

from tranship.postgres.settings import PostgresSettings
from tranship.redshift.settings import RedshiftSettings
from tranship.replication.addresses import parsed_url, port_of, variables, with_password
from tranship.replication.postgres_target import PostgresTarget
from tranship.replication.redshift_target import RedshiftTarget
from tranship.replication.targets import Target
from tranship.tls import sslmode_of

TARGETS = {"postgres": "TRANSHIP_POSTGRES_", "redshift": "TRANSHIP_REDSHIFT_"}
TARGET_URL = "postgresql://user:password@host:5432/database"

LOCK_WAIT_SECONDS = 30.0
"""How long a person waits for a load that is writing the table."""

_NOT_STAGED = "bookmarks-are-not-staged"


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
    parsed = parsed_url(url, "target", TARGET_URL, {"postgresql", "postgres", "redshift"})
    named = "redshift" if parsed.drivername.startswith("redshift") else "postgres"
    parsed = with_password(parsed, environment, TARGETS[named])
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
    found = variables(environment, prefix, wanted, f"--target-url {TARGET_URL}")
    if kind == "redshift":
        return _redshift(
            host=found["HOST"],
            port=port_of(environment, prefix, 5439),
            database=found["DATABASE"],
            user=found["USER"],
            # With a cluster's name, temporary credentials are fetched instead.
            password=None if cluster else found["PASSWORD"],
            cluster_identifier=cluster,
            sslmode=sslmode_of(environment, prefix),
        )
    return PostgresTarget(
        PostgresSettings(
            host=found["HOST"],
            port=port_of(environment, prefix, 5432),
            database=found["DATABASE"],
            user=found["USER"],
            password=found["PASSWORD"],
            sslmode=sslmode_of(environment, prefix),
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
