"""A Postgres-wire gateway that behaves like Amazon Redshift, for demos and tests. See README.md."""

from standins.redshift.faults import Faults
from standins.redshift.server import Options, RedshiftStandIn

__all__ = ["Faults", "Options", "RedshiftStandIn"]
