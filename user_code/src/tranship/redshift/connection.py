"""A connection to Redshift: psycopg2 over TLS, with credentials fetched for it."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tranship.bounded_connections import KEEPALIVES, BoundedConnection
from tranship.errors import ConnectionFailedError, TranshipError, UnreachableError, redact
from tranship.pgsql.driver import SqlConnection
from tranship.redshift.credentials import (
    CredentialsSource,
    DatabaseCredentials,
    Endpoint,
    paused,
)
from tranship.redshift.settings import RedshiftSettings
from tranship.tls import sslmode_for, tell_what_is_off

_LOGGER = logging.getLogger(__name__)

APPLICATION_NAME = "tranship"


def open_connection(settings: RedshiftSettings, source: CredentialsSource) -> SqlConnection:
    """A new connection in autocommit mode; the caller closes it.

    Temporary credentials that the database does not take are fetched anew, once.

    Raises:
        ConnectionFailedError: The database refused: user, password, database, certificate, paused.
        UnreachableError: Nothing answered at the address.
    """
    endpoint = source.endpoint()
    for last in (not source.temporary, True):
        credentials = source.get()
        try:
            opened = psycopg2.connect(**_arguments(settings, endpoint, credentials))
        except psycopg2.OperationalError as error:
            refused = _refused(error, settings, endpoint, credentials, source)
            if last or isinstance(refused, UnreachableError):
                raise refused from None
            source.forget()
        else:
            opened.answer_seconds = settings.answer_timeout_seconds
            opened.autocommit = True
            tell_what_is_off(tls_mode(settings, endpoint.host), endpoint.host, "Redshift", _LOGGER)
            return opened
    raise AssertionError("unreachable: the last round returns or raises")


@contextmanager
def connected(settings: RedshiftSettings, source: CredentialsSource) -> Generator[SqlConnection]:
    """A connection in autocommit mode for a block; an open transaction is rolled back at its end."""
    opened = open_connection(settings, source)
    try:
        yield opened
    finally:
        opened.close()


def tls_mode(settings: RedshiftSettings, host: str) -> str:
    """The sslmode for a host: what is set, or what is safe there.

    Example:
        >>> from dataclasses import replace
        >>> local = RedshiftSettings(
        ...     database="d", bucket_name="b", s3_iam_role="default", host="localhost", user="u", password="p")
        >>> tls_mode(local, "localhost"), tls_mode(local, "dw.abc.eu-west-1.redshift.amazonaws.com")
        ('prefer', 'verify-full')
    """
    if settings.sslmode:
        return settings.sslmode
    return sslmode_for(host)


def _arguments(
    settings: RedshiftSettings, endpoint: Endpoint, credentials: DatabaseCredentials
) -> dict[str, Any]:
    mode = tls_mode(settings, endpoint.host)
    verified = (
        {"sslrootcert": settings.ssl_root_cert or _roots()} if mode.startswith("verify") else {}
    )
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "dbname": settings.database,
        "user": credentials.user,
        "password": credentials.password,
        "sslmode": mode,
        "connect_timeout": settings.connect_timeout_seconds,
        "application_name": APPLICATION_NAME,
        # Redshift knows UTF8 by the name of Unicode too; psycopg2 asks for UTF8 by itself only where
        # the server reports another encoding.
        "client_encoding": "utf8",
        # A COPY is silent for as long as it takes; without probes a NAT gateway drops the connection after
        # some minutes: https://docs.aws.amazon.com/redshift/latest/mgmt/connecting-drop-issues.html
        **KEEPALIVES,
        "connection_factory": BoundedConnection,
        **verified,
    }


def _roots() -> str:
    """Redshift's certificates are signed by Amazon Trust Services, which every public bundle holds."""
    import certifi

    return certifi.where()


def _refused(
    error: psycopg2.OperationalError,
    settings: RedshiftSettings,
    endpoint: Endpoint,
    credentials: DatabaseCredentials,
    source: CredentialsSource,
) -> TranshipError:
    message = " ".join(redact(str(error), [credentials.password, settings.password]).split())
    where = f"{endpoint.host}:{endpoint.port}"
    if "authentication failed" in message or "no password supplied" in message:
        hint = (
            "The temporary credentials were refused twice: check that the user exists in the database."
            if source.temporary
            else "Check user and password."
        )
        return ConnectionFailedError(
            f"Redshift at {where} refused user {credentials.user!r}: {message}", hint
        )
    if "database" in message and "does not exist" in message:
        return ConnectionFailedError(
            f"Redshift at {where} has no database {settings.database!r}.", "Correct the database."
        )
    if "certificate" in message or "SSL" in message:
        return ConnectionFailedError(
            f"No trusted connection to Redshift at {where} (sslmode is {tls_mode(settings, endpoint.host)}): {message}",
            "Set ssl_root_cert to the file of the authority that signed its certificate (Amazon's bundle is certifi's, "
            "the default), and host to the name in it. For a server without TLS on a trusted network set sslmode to "
            "disable: the rows and the password then travel in clear.",
        )
    if source.status() == "paused":
        return paused(settings)
    return UnreachableError(
        f"Redshift did not answer at {where}: {message}",
        "Check host and port, the security group, and that this machine can reach the cluster's network.",
    )
