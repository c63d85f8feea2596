"""What the SQL Server under test can do: asked of itself, so that each suite names what it skips and why.

The stand-in and SQL Server can do all of it. Servers that speak its protocol, such as Babelfish, lack parts.
"""

import functools

import mssql_python

from standins.sample.connect import parse_url

PROBES = {
    "min_active_rowversion": "select cast(min_active_rowversion() as binary(8))",
    "snapshot isolation": "set transaction isolation level snapshot; select 1",
    "row versions of a database": "select snapshot_isolation_state from sys.databases where name = db_name()",
    "binary_checksum": "select binary_checksum(1)",
    "masked columns": "select count(*) from sys.columns where is_masked = 1",
    "encrypted columns": "select count(*) from sys.columns where encryption_type is not null",
    "security policies": "select count(*) from sys.security_policies",
    "rights by name": "select has_perms_by_name(db_name(), 'DATABASE', 'UNMASK')",
}
"""By name, a statement that a server refuses where it lacks what the name says."""


@functools.cache
def refusal(url: str, capability: str) -> str | None:
    """Why a server cannot do something, in its own words; `None` where it can.

    Args:
        url: The server.
        capability: A name of `PROBES`.
    """
    parts = parse_url(url)
    connection = mssql_python.connect(parts.connection_string(parts.database), autocommit=True)
    try:
        connection.cursor().execute(PROBES[capability]).fetchall()
    except mssql_python.Error as error:
        return str(error)
    finally:
        connection.close()
    return None
