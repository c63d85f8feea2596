"""The systems this code location talks to. Every address and password comes from the environment."""

import os
import tempfile
from pathlib import Path

import dagster as dg

from tranship.postgres.io_manager import PostgresIOManager
from tranship.postgres.resource import PostgresResource
from tranship.spool import SpoolIOManager
from tranship.sqlserver.resource import SqlServerResource

STAGING_SCHEMA = "staging"

postgres = PostgresResource(
    host=dg.EnvVar("TRANSHIP_POSTGRES_HOST"),
    port=dg.EnvVar.int("TRANSHIP_POSTGRES_PORT"),
    database=dg.EnvVar("TRANSHIP_POSTGRES_DATABASE"),
    user=dg.EnvVar("TRANSHIP_POSTGRES_USER"),
    password=dg.EnvVar("TRANSHIP_POSTGRES_PASSWORD"),
)

sqlserver = SqlServerResource(
    host=dg.EnvVar("TRANSHIP_SQLSERVER_HOST"),
    port=dg.EnvVar.int("TRANSHIP_SQLSERVER_PORT"),
    database=dg.EnvVar("TRANSHIP_SQLSERVER_DATABASE"),
    user=dg.EnvVar("TRANSHIP_SQLSERVER_USER"),
    password=dg.EnvVar("TRANSHIP_SQLSERVER_PASSWORD"),
    # Verified TLS unless the deployment says otherwise: the stock container's certificate is self-signed.
    trust_server_certificate=os.environ.get("TRANSHIP_SQLSERVER_TRUST_CERTIFICATE", "no") == "yes",
)

spool = SpoolIOManager(
    base_uri=os.environ.get("TRANSHIP_SPOOL_URI")
    or str(Path(tempfile.gettempdir()) / "tranship-spool"),
)


@dg.definitions
def resources() -> dg.Definitions:
    """The resources by the names that ops and assets ask for."""
    return dg.Definitions(
        resources={
            "sqlserver": sqlserver,
            "postgres": postgres,
            "staging": PostgresIOManager(postgres=postgres, schema=STAGING_SCHEMA),
            # What passes between ops; assets name the target they are stored in.
            "io_manager": spool,
        }
    )
