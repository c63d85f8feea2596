"""Starts the systems of the demo and the tests without Docker, as processes that cannot outlive us.

Each class is a context manager that owns one process, listens on a free port of 127.0.0.1 and makes a new password
at each start. Linux and macOS; see `guard` for what each of them guarantees when a process is killed.
"""

from standins.embedded.postgres import EmbeddedPostgres
from standins.embedded.process import EmbeddedError, GuardedProcess
from standins.embedded.redshift import EmbeddedRedshift
from standins.embedded.s3 import EmbeddedS3
from standins.embedded.sqlserver import EmbeddedSqlServer

__all__ = [
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedRedshift",
    "EmbeddedS3",
    "EmbeddedSqlServer",
    "GuardedProcess",
]
