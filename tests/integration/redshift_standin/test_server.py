"""Logging in, TLS, and the stand-in as a process of its own."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from standins.embedded import EmbeddedPostgres
from standins.redshift import Options, RedshiftStandIn

from .conftest import PASSWORD, USER, Database, Lake


def refused(standin: RedshiftStandIn, **changes: Any) -> str:
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(standin.url, **changes)
    return str(caught.value)


def test_a_wrong_password_is_refused(standin: RedshiftStandIn):
    text = f'FATAL:  password authentication failed for user "{USER}"'
    assert text in refused(standin, password="wrong")
    assert 'failed for user "nobody"' in refused(standin, user="nobody")
    assert PASSWORD not in refused(standin, password="wrong")


def test_an_unknown_database_is_refused(standin: RedshiftStandIn):
    assert 'database "nowhere" does not exist' in refused(standin, dbname="nowhere")


def test_temporary_credentials_of_the_control_plane_log_in(standin, lake: Lake):
    client = boto3.client("redshift", endpoint_url=lake.endpoint)
    client.create_cluster(
        ClusterIdentifier=f"c-{lake.bucket}", NodeType="ra3.large", MasterUsername=USER,
        MasterUserPassword=PASSWORD, ClusterType="single-node",
    )  # fmt: skip
    given = client.get_cluster_credentials(
        DbUser=USER, ClusterIdentifier=f"c-{lake.bucket}", AutoCreate=False
    )
    connection = psycopg2.connect(standin.url, user=given["DbUser"], password=given["DbPassword"])
    assert Database(connection).run("select current_user") == [(USER,)]
    connection.close()
    assert "failed for user" in refused(standin, user="IAM:nobody", password="anything")
    assert "failed for user" in refused(standin, user=USER, password=given["DbPassword"])


def test_iama_creates_the_user_and_it_has_no_rights(standin: RedshiftStandIn, database, schema):
    database.run("create table t (id int)")
    database.connection.commit()
    name = f"u_{schema}"
    connection = psycopg2.connect(standin.url, user=f"IAMA:{name}", password="temporary")
    guest = Database(connection)
    assert guest.run("select current_user") == [(name,)]
    guest.connection.rollback()
    assert guest.refusal(f"select * from {schema}.t").pgcode == "42501"
    connection.close()
    database.run(f"drop user {name}")
    database.connection.commit()


def test_users_created_in_sql_log_in_with_their_password(standin, database: Database, schema):
    name = f"u_{schema}"
    database.run(f"create user {name} password 'Own-Secret-1'")
    database.run("create table t (id int)")
    database.run(f"grant usage on schema {schema} to {name}")
    database.run(f"grant select on t to {name}")
    database.connection.commit()
    connection = psycopg2.connect(standin.url, user=name, password="Own-Secret-1")
    reader = Database(connection)
    assert reader.run(f"select * from {schema}.t") == []
    error = reader.refusal(f"copy {schema}.t from 's3://b/k' iam_role default parquet")
    assert (error.pgcode, str(error).strip()) == ("42501", "permission denied for relation t")
    connection.close()
    database.run(f"drop table t; drop schema {schema} cascade; create schema {schema}")
    database.run(f"drop user {name}")
    database.connection.commit()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, private


def test_tls_with_a_certificate_of_ones_own(embedded_postgres: EmbeddedPostgres, certificate):
    pem, key = certificate
    url = embedded_postgres.create_database("standin_tls")
    options = Options(url, USER, PASSWORD, tls_certificate=str(pem), tls_key=str(key))
    with RedshiftStandIn(options) as server:
        address = server.url.replace("127.0.0.1", "localhost")
        connection = psycopg2.connect(address, sslmode="verify-full", sslrootcert=str(pem))
        assert connection.info.ssl_in_use
        assert Database(connection).run("select 1") == [(1,)]
        connection.close()


def test_the_command_serves_until_it_is_told_to_end(
    embedded_postgres: EmbeddedPostgres, lake: Lake, tmp_path: Path
):
    url = embedded_postgres.create_database("standin_command").replace("+psycopg2", "")
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "standins", "redshift", "--port", "0", "--postgres", url]
    command += ["--s3-endpoint", lake.endpoint, "--user", "boss", "--ready-file", str(ready)]
    environment = os.environ | {"TRANSHIP_STANDIN_PASSWORD": "Boss-Secret-1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        address = json.loads(ready.read_text())
        connection = psycopg2.connect(
            host=address["host"], port=address["port"], user="boss", password="Boss-Secret-1",
            dbname="standin_command",
        )  # fmt: skip
        assert Database(connection).run("select current_user") == [("boss",)]
    finally:
        process.send_signal(signal.SIGTERM)
        _, banner = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "This is not Amazon Redshift" in banner
    assert "Boss-Secret-1" not in banner
    connection.close()


def test_the_command_ends_with_its_parent(embedded_postgres, lake: Lake, tmp_path: Path):
    url = embedded_postgres.create_database("standin_orphan").replace("+psycopg2", "")
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "standins", "redshift", "--port", "0", "--postgres", url]
    command += ["--s3-endpoint", lake.endpoint, "--ready-file", str(ready), "--exit-with-parent"]
    script = (
        "import pathlib, subprocess, sys, time\n"
        f"ready, child = pathlib.Path({str(ready)!r}), subprocess.Popen({command!r})\n"
        "while not ready.exists() and child.poll() is None: time.sleep(0.05)\n"
        "print(child.pid)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    deadline = time.monotonic() + 15
    while (runs := _runs(int(parent.stdout))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs


def _runs(pid: int) -> bool:
    """Whether a process exists and is more than an entry that nobody collected yet."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_the_command_needs_a_password(tmp_path: Path):
    command = [sys.executable, "-m", "standins", "redshift", "--postgres", "postgresql://a@h/b"]
    environment = {k: v for k, v in os.environ.items() if k not in {"PGPASSWORD"}}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "a password for a is needed: set $TRANSHIP_STANDIN_PASSWORD" in found.stderr
