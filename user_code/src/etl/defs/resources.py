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

STAGING_SCHEMA = "staging"
SALES_SCHEMA = "sales"

# Every setting of a system has a variable, as .env.example lists them. Where a system is, and who we are there, is read when
# a run starts; all else when the code is loaded.
postgres = PostgresResource.from_environment(
    os.environ, port=dg.EnvVar.int("TRANSHIP_POSTGRES_PORT")
)
sqlserver = SqlServerResource.from_environment(
    os.environ, port=dg.EnvVar.int("TRANSHIP_SQLSERVER_PORT")
)

# AWS credentials, region and endpoint come from boto3's own chain.
STAGING = {"TRANSHIP_REDSHIFT_STAGING_URI": "s3://tranship-staging/tranship"}
REDSHIFT = STAGING | {name: value for name, value in os.environ.items() if value}
REDSHIFT_PORT = dg.EnvVar.int("TRANSHIP_REDSHIFT_PORT")

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
            "redshift": RedshiftResource.from_environment(REDSHIFT, port=REDSHIFT_PORT),
            "warehouse": RedshiftIOManager.from_environment(
                REDSHIFT, port=REDSHIFT_PORT, schema=SALES_SCHEMA
            ),
            # What passes between ops; assets name the target they are stored in.
            "io_manager": spool,
        }
    )
