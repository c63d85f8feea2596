"""The embedded Redshift stand-in: answers its URL, and goes when stopped."""

import subprocess
from pathlib import Path

import psycopg2

from standins.embedded import EmbeddedPostgres, EmbeddedRedshift
from standins.embedded.liveness import is_running


def test_the_shared_gateway_answers_as_redshift(redshift_url: str):
    connection = psycopg2.connect(redshift_url.replace("redshift://", "postgresql://"))
    with connection, connection.cursor() as cursor:
        cursor.execute("select version()")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    assert "Redshift" in row[0]


def test_it_is_gone_when_stopped_and_showed_no_password(
    tmp_path: Path, embedded_postgres: EmbeddedPostgres, s3_endpoint: str
):
    backend = embedded_postgres.create_database("own_redshift")
    with EmbeddedRedshift(tmp_path, backend, s3_endpoint) as gateway:
        process = gateway._server
        assert process is not None
        assert is_running(process.pid)
        shown = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
        assert "-m standins redshift" in shown.stdout
        assert embedded_postgres.password not in shown.stdout
    assert not is_running(process.pid)
