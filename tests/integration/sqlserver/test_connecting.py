"""Who may not connect is told why in seconds, and no message holds the password."""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from standins.sqlserver.certificate import self_signed
from tranship.errors import (
    ColumnNotFoundError,
    ConnectionFailedError,
    TableNotFoundError,
    TransientError,
)
from tranship.sqlserver.connection import connect, engine
from tranship.sqlserver.settings import SqlServerSettings

WRONG = "not-The-Passw0rd"


def failing(settings: SqlServerSettings) -> ConnectionFailedError:
    started = time.monotonic()
    with pytest.raises(ConnectionFailedError) as caught, connect(settings):
        pass
    assert time.monotonic() - started < 30
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.details)
    assert settings.password not in shown
    assert not isinstance(caught.value, TransientError)
    return caught.value


def test_a_wrong_password_is_said_to_be_one(settings):
    error = failing(replace(settings, password=WRONG))
    assert str(error) == (
        f'{settings.address} refused the login "{settings.user}" (18456): Login failed for user '
        f"'{settings.user}'. It happened while connecting on {settings.address}. "
        "Check user and password, and that the server allows SQL Server authentication."
    )


def test_a_wrong_database_is_named(settings):
    error = failing(replace(settings, database="NoSuchDatabase"))
    assert str(error) == (
        f'The login "{settings.user}" cannot open the database "NoSuchDatabase" on {settings.address} '
        '(4060): Cannot open database "NoSuchDatabase" requested by the login. The login failed. It happened while '
        f"connecting on {settings.address}. Check the database's name, and that the login has a user in it: "
        f"use [NoSuchDatabase]; create user [{settings.user}] for login [{settings.user}];"
    )


def test_a_certificate_of_nobody_is_refused_with_the_two_ways_out(settings):
    error = failing(replace(settings, encrypt="yes", trust_server_certificate=False))
    assert str(error) == (
        f"The certificate of {settings.address} is not trusted by this machine. "
        "Either set SSL_CERT_FILE to a PEM file with the certificate authority that signed it, or, where "
        "nobody can stand between, set trust_server_certificate to true."
    )


def test_a_trusted_certificate_makes_an_encrypted_connection(settings):
    trusting = replace(settings, encrypt="yes", trust_server_certificate=True)
    with connect(trusting) as connection:
        assert connection.cursor().execute("select 1").fetchval() == 1


@pytest.fixture(scope="module")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A stand-in with a certificate that we have; its file and the port."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = self_signed(directory)
    ready = directory / "ready.json"
    command = [sys.executable, "-m", "standins", "sqlserver", "--port", "0", "--exit-with-parent"]
    command += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    environment = {**os.environ, "TRANSHIP_STANDIN_PASSWORD": WRONG}
    server = subprocess.Popen([*command, "--ready-file", str(ready)], env=environment)
    try:
        wait_until(ready.exists, seconds=20)
        yield certificate, json.loads(ready.read_text())["port"]
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("localhost", "1"),
        (
            "127.0.0.1",
            'is made out for another name than "127.0.0.1". Connect by the name that the certificate has',
        ),
    ],
)
def test_ssl_cert_file_makes_a_certificate_trusted_under_its_name(own_authority, host, said):
    certificate, port = own_authority
    script = f"""
from tranship.errors import ConnectionFailedError
from tranship.sqlserver.connection import connect
from tranship.sqlserver.settings import SqlServerSettings

here = SqlServerSettings(
    host="{host}", port={port}, database="AdventureWorksDW", user="sa", password="{WRONG}"
)
try:
    with connect(here) as connection:
        print(connection.cursor().execute("select 1").fetchval())
except ConnectionFailedError as error:
    print(error)
"""
    # A process of its own: OpenSSL reads the variable once.
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SSL_CERT_FILE": str(certificate)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert said in done.stdout


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        (
            "select 1 from dbo.NoSuchTable",
            TableNotFoundError,
            "Invalid object name 'dbo.NoSuchTable'.",
        ),
        (
            "select NoSuchColumn from INFORMATION_SCHEMA.TABLES",
            ColumnNotFoundError,
            "Invalid column name 'NoSuchColumn'.",
        ),
    ],
)
def test_statements_of_a_users_own_fail_with_the_servers_words(settings, sql, kind, message):
    with pytest.raises(kind) as caught, connect(settings) as connection:
        connection.cursor().execute(sql)
    assert message in str(caught.value)


def test_errors_of_the_users_own_block_pass_unchanged(settings):
    with pytest.raises(RuntimeError, match="mine"), connect(settings):
        raise RuntimeError("mine")


def test_a_connection_is_closed_with_its_block(through_cable, cable):
    with connect(through_cable) as connection:
        connection.cursor().execute("select 1")
        assert cable.connections == 1
    wait_until(lambda: cable.connections == 0)


def test_a_connection_lost_under_a_statement_may_be_tried_again(through_cable, cable):
    def ask() -> None:
        with connect(through_cable, doing="asking") as connection:
            cursor = connection.cursor()
            cursor.execute("select 1")
            cursor.fetchall()
            cable.pull()
            cursor.execute("select 1")

    with pytest.raises(TransientError, match=r"was lost while asking.*tried again"):
        ask()


def test_sqlalchemy_reflects_through_the_engine(settings, table):
    name = table("create table {table} (Id int primary key, Note nvarchar(20))")
    bare = engine(settings)
    columns = sa.inspect(bare).get_columns(name.name, schema="dbo")
    bare.dispose()
    assert [(column["name"], str(column["type"])) for column in columns][:1] == [("Id", "INTEGER")]
    assert columns[1]["name"] == "Note"


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()
