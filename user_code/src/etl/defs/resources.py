"""The systems this code location talks to. Every address and password comes from the environment."""

import os
import tempfile
from pathlib import Path

import dagster as dg

from tranship.postgres.io_manager import PostgresIOManager
from tranship.postgres.resource import PostgresResource
from tranship.redshift.io_manager import RedshiftIOManager
from tranship.redshift.resource import RedshiftResource
from tranship.spool import SpoolIOManager
from tranship.sqlserver.resource import SqlServerResource
from tranship.tls import sslmode_of

STAGING_SCHEMA = "staging"
SALES_SCHEMA = "sales"

postgres = PostgresResource(
    host=dg.EnvVar("TRANSHIP_POSTGRES_HOST"),
    port=dg.EnvVar.int("TRANSHIP_POSTGRES_PORT"),
    database=dg.EnvVar("TRANSHIP_POSTGRES_DATABASE"),
    user=dg.EnvVar("TRANSHIP_POSTGRES_USER"),
    password=dg.EnvVar("TRANSHIP_POSTGRES_PASSWORD"),
    sslmode=sslmode_of(os.environ, "TRANSHIP_POSTGRES_"),
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

STAGING_BUCKET, _, STAGING_PREFIX = (
    (os.environ.get("TRANSHIP_REDSHIFT_STAGING_URI") or "s3://tranship-staging/tranship")
    .removeprefix("s3://")
    .partition("/")
)
CLUSTER = os.environ.get("TRANSHIP_REDSHIFT_CLUSTER") or None

# AWS credentials, region and endpoint come from boto3's own chain.
REDSHIFT = {
    "host": dg.EnvVar("TRANSHIP_REDSHIFT_HOST"),
    "port": dg.EnvVar.int("TRANSHIP_REDSHIFT_PORT"),
    "database": dg.EnvVar("TRANSHIP_REDSHIFT_DATABASE"),
    "user": dg.EnvVar("TRANSHIP_REDSHIFT_USER"),
    # With a cluster's name, temporary credentials are fetched for each connection instead.
    "cluster_identifier": CLUSTER,
    "password": None if CLUSTER else dg.EnvVar("TRANSHIP_REDSHIFT_PASSWORD"),
    "sslmode": sslmode_of(os.environ, "TRANSHIP_REDSHIFT_"),
    "s3_iam_role": dg.EnvVar("TRANSHIP_REDSHIFT_IAM_ROLE"),
    "bucket_name": STAGING_BUCKET,
    "s3_prefix": STAGING_PREFIX or "tranship",
}

spool = SpoolIOManager(
    # One for each user: the folder belongs to whoever made it, and is refused to others.
    base_uri=os.environ.get("TRANSHIP_SPOOL_URI")
    or str(Path(tempfile.gettempdir()) / f"tranship-spool-{os.geteuid()}"),
)


@dg.definitions
def resources() -> dg.Definitions:
    """The resources by the names that ops and assets ask for."""
    return dg.Definitions(
        resources={
            "sqlserver": sqlserver,
            "postgres": postgres,
            "staging": PostgresIOManager(postgres=postgres, schema=STAGING_SCHEMA),
            "redshift": RedshiftResource(**REDSHIFT),
            "warehouse": RedshiftIOManager(**REDSHIFT, schema=SALES_SCHEMA),
            # What passes between ops; assets name the target they are stored in.
            "io_manager": spool,
        }
    )
