"""Health checks of the stand-ins by a real login: `healthy.py sqlserver` or `healthy.py redshift`."""

import os
import sys
from pathlib import Path

TIMEOUT_SECONDS = 8


def sqlserver(password: str) -> None:
    """Log in to the SQL Server stand-in and ask it something."""
    import mssql_python

    settings = f"Server=127.0.0.1,1433;Database=master;UID=sa;PWD={{{password}}};Encrypt=no;"
    connection = mssql_python.connect(settings, timeout=TIMEOUT_SECONDS)
    connection.cursor().execute("select 1").fetchall()
    connection.close()


def redshift(password: str) -> None:
    """Log in to the Redshift stand-in and ask it something."""
    import psycopg2

    connection = psycopg2.connect(
        host="127.0.0.1",
        port=5439,
        dbname=os.environ["REDSHIFT_DATABASE"],
        user=os.environ["REDSHIFT_USER"],
        password=password,
        connect_timeout=TIMEOUT_SECONDS,
    )
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    connection.close()


if __name__ == "__main__":
    secret = Path(os.environ["TRANSHIP_STANDIN_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    {"sqlserver": sqlserver, "redshift": redshift}[sys.argv[1]](secret)
