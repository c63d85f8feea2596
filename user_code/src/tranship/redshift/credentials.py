"""Who to be in the database: a password that was given, or a temporary one that AWS issues.

Source: https://docs.aws.amazon.com/redshift/latest/mgmt/generating-user-credentials.html
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tranship.errors import ConfigurationError, ConnectionFailedError, TranshipError
from tranship.redshift.aws import api_client, aws_errors
from tranship.redshift.settings import RedshiftSettings
from tranship.secret import hide

LIFETIME_SECONDS = 3600
RENEW_BEFORE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class DatabaseCredentials:
    """A database user and password, and until when they are good.

    Args:
        user: Database user, with the `IAM:` prefix where AWS gave one.
        password: Its password.
        expires_at: When it stops working for new connections; `None` where it does not.
    """

    user: str
    password: str = field(repr=False)
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        hide(self, "password")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a database."""

    host: str
    port: int


class CredentialsSource:
    """Gives credentials for each new connection, and asks AWS only when the last ones run out.

    Safe to share between threads. Open connections survive the expiry of what they were opened with.

    Args:
        settings: Which cluster or workgroup, database and user.
        now: The clock.

    Example:
        >>> source = CredentialsSource(RedshiftSettings(
        ...     database="dev", bucket_name="b", s3_iam_role="default", host="h", user="etl", password="x"))
        >>> source.get().user
        'etl'
    """

    def __init__(
        self, settings: RedshiftSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._cached: DatabaseCredentials | None = None
        self._endpoint: Endpoint | None = None

    def get(self) -> DatabaseCredentials:
        """Credentials that are good for at least two more minutes.

        Raises:
            ConfigurationError: The cluster or workgroup does not exist.
            ConnectionFailedError: AWS refuses: credentials expired, unknown, or not allowed to.
            TransientError: AWS is throttling.
        """
        with self._lock:
            if self._cached is None or self._runs_out(self._cached):
                self._cached = self._fetch()
            return self._cached

    def forget(self) -> None:
        """Fetch new ones next time: the database did not take these."""
        with self._lock:
            self._cached = None

    @property
    def temporary(self) -> bool:
        """Whether AWS issues the credentials."""
        return self._settings.password is None

    def endpoint(self) -> Endpoint:
        """The address of the database, looked up once where the settings do not give it.

        Raises:
            ConfigurationError: The cluster or workgroup does not exist.
            ConnectionFailedError: The cluster is paused or has no address, or AWS refuses.
        """
        if self._settings.host:
            return Endpoint(self._settings.host, self._settings.port)
        with self._lock:
            if self._endpoint is None:
                self._endpoint = self._look_up()
            return self._endpoint

    def status(self) -> str | None:
        """What AWS says about a provisioned cluster: `available`, `paused`, `resuming`, ...

        `None` for others, and where these credentials may not ask: it is only used to explain why a
        connection failed.
        """
        if not self._settings.cluster_identifier:
            return None
        try:
            return self._cluster().get("ClusterStatus")
        except TranshipError:
            return None

    def _runs_out(self, credentials: DatabaseCredentials) -> bool:
        expires_at = credentials.expires_at
        return expires_at is not None and self._now() >= expires_at - RENEW_BEFORE

    def _fetch(self) -> DatabaseCredentials:
        settings = self._settings
        if settings.password is not None:
            return DatabaseCredentials(settings.user or "", settings.password)
        if settings.workgroup:
            return self._serverless(settings.workgroup)
        return self._provisioned()

    def _provisioned(self) -> DatabaseCredentials:
        settings = self._settings
        client = api_client(settings, "redshift")
        wanted = {
            "ClusterIdentifier": settings.cluster_identifier,
            "DbName": settings.database,
            "DurationSeconds": LIFETIME_SECONDS,
        }
        groups = {"DbGroups": list(settings.db_groups)} if settings.db_groups else {}
        with aws_errors(
            settings, f"fetching database credentials for cluster {settings.cluster_identifier}"
        ):
            reply = (
                client.get_cluster_credentials(
                    DbUser=settings.user, AutoCreate=settings.auto_create, **groups, **wanted
                )
                if settings.user
                else client.get_cluster_credentials_with_iam(**wanted)
            )
        return DatabaseCredentials(
            reply["DbUser"], reply["DbPassword"], _instant(reply["Expiration"])
        )

    def _serverless(self, workgroup: str) -> DatabaseCredentials:
        client = api_client(self._settings, "redshift-serverless")
        with aws_errors(self._settings, f"fetching database credentials for workgroup {workgroup}"):
            reply = client.get_credentials(
                workgroupName=workgroup,
                dbName=self._settings.database,
                durationSeconds=LIFETIME_SECONDS,
            )
        return DatabaseCredentials(
            reply["dbUser"], reply["dbPassword"], _instant(reply["expiration"])
        )

    def _look_up(self) -> Endpoint:
        if self._settings.workgroup:
            return self._workgroup_endpoint(self._settings.workgroup)
        cluster = self._cluster()
        address = cluster.get("Endpoint", {})
        if cluster.get("ClusterStatus") == "paused":
            raise paused(self._settings)
        if not address.get("Address"):
            raise ConnectionFailedError(
                f"The cluster {self._settings.cluster_identifier} is {cluster.get('ClusterStatus')} "
                "and has no address yet.",
                "Wait until it is available.",
            )
        return Endpoint(address["Address"], int(address["Port"]))

    def _cluster(self) -> dict[str, Any]:
        settings = self._settings
        client = api_client(settings, "redshift")
        with aws_errors(settings, f"looking up cluster {settings.cluster_identifier}"):
            reply = client.describe_clusters(ClusterIdentifier=settings.cluster_identifier)
        return reply["Clusters"][0]

    def _workgroup_endpoint(self, workgroup: str) -> Endpoint:
        client = api_client(self._settings, "redshift-serverless")
        with aws_errors(self._settings, f"looking up workgroup {workgroup}"):
            reply = client.get_workgroup(workgroupName=workgroup)
        address: dict[str, Any] = reply["workgroup"].get("endpoint") or {}
        if not address.get("address"):
            raise ConfigurationError(
                f"The workgroup {workgroup} has no address yet.", "Wait until it is available."
            )
        return Endpoint(address["address"], int(address["port"]))


def paused(settings: RedshiftSettings) -> ConnectionFailedError:
    """The error for a cluster that is paused."""
    name = settings.cluster_identifier
    return ConnectionFailedError(
        f"The cluster {name} is paused.",
        f"Resume it: aws redshift resume-cluster --cluster-identifier {name}; it takes some minutes.",
    )


def _instant(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
