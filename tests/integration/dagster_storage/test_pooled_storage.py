"""Dagster's storage on Postgres: few connections, and none that a restart of Postgres turns into a failed run."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg2
import pytest
from cable import Cable
from psycopg2 import extensions
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from standins.embedded import EmbeddedPostgres
from tranship.runs.storage import PooledPostgresStorage

APPLICATION = "tranship-storage-test"


@pytest.fixture
def storage_url(embedded_postgres: EmbeddedPostgres) -> str:
    """A database of the test's own."""
    url = embedded_postgres.create_database(f"dagster_{secrets.token_hex(4)}")
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}application_name={APPLICATION}"


@pytest.fixture
def instance(storage_url: str) -> Iterator[dg.DagsterInstance]:
    """An instance as dagster.yaml of the stack configures it."""
    storage = {
        "custom": {
            "module": "tranship.runs.storage",
            "class": "PooledPostgresStorage",
            "config": {"postgres_url": storage_url},
        }
    }
    with dg.instance_for_test(overrides={"storage": storage}) as instance:
        yield instance


@pytest.fixture
def server(storage_url: str) -> Iterator[extensions.connection]:
    """A connection that watches the server."""
    watching = storage_url.replace("+psycopg2", "").replace(APPLICATION, "watching")
    connection = psycopg2.connect(watching)
    connection.autocommit = True
    yield connection
    connection.close()


@dg.op
def one() -> int:
    return 1


@dg.op
def add(left: int) -> int:
    return left + 1


@dg.job
def two_steps() -> None:
    add(one())


def sessions(server: extensions.connection) -> int:
    """How many connections the database has seen since it was made."""
    with server.cursor() as cursor:
        # Sessions are counted when they end and whenever they report.
        cursor.execute("select pg_stat_clear_snapshot()")
        cursor.execute("select sessions from pg_stat_database where datname = current_database()")
        (count,) = cursor.fetchone() or (0,)
        return count


def connections(server: extensions.connection) -> int:
    """How many connections instances hold at the moment."""
    with server.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_stat_activity where application_name = %s", [APPLICATION]
        )
        (count,) = cursor.fetchone() or (0,)
        return count


def test_a_run_of_two_steps_opens_no_more_than_a_few_connections(
    instance: dg.DagsterInstance, server: extensions.connection
):
    two_steps.execute_in_process(instance=instance)
    before = sessions(server)
    result = two_steps.execute_in_process(instance=instance)
    assert result.success
    assert result.output_for_node("add") == 2
    # Stock storage opens some fifty.
    assert sessions(server) - before <= 10
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert len(instance.all_logs(result.run_id)) > 10


def test_connections_that_postgres_has_ended_are_replaced_without_an_error(
    instance: dg.DagsterInstance, server: extensions.connection
):
    run_id = two_steps.execute_in_process(instance=instance).run_id
    with server.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = %s",
            [APPLICATION],
        )
        (ended,) = cursor.fetchone() or (0,)
    assert ended >= 1
    assert instance.get_run_by_id(run_id) is not None
    assert two_steps.execute_in_process(instance=instance).success


def test_an_instance_that_is_done_with_holds_no_connection(
    storage_url: str, instance: dg.DagsterInstance, server: extensions.connection
):
    other = dg.DagsterInstance.from_ref(instance.get_ref())
    assert other.get_runs() == []
    assert connections(server) >= 1
    other.dispose()
    instance.dispose()
    # Postgres notices a little later.
    until = time.monotonic() + 10
    while connections(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert connections(server) == 0


def test_a_kept_connection_that_the_network_forgot_is_noticed_in_seconds(
    instance: dg.DagsterInstance,
):
    run_storage: Any = instance.run_storage
    with run_storage.connect() as connection:
        told = connection.connection.driver_connection.get_dsn_parameters()
    assert told["tcp_user_timeout"] == "20000"
    # Twenty seconds until it is given up while we wait, as while we send.
    probes = int(told["keepalives_interval"]) * int(told["keepalives_count"])
    assert int(told["keepalives_idle"]) + probes == 20


def test_a_storage_that_says_nothing_is_given_up(storage_url: str, monkeypatch: pytest.MonkeyPatch):
    url = make_url(storage_url)
    cable = Cable(url.host or "", url.port or 5432)
    monkeypatch.setattr("tranship.runs.storage._StorageConnection.answer_seconds", 2.0)
    through = url.set(host="127.0.0.1", port=cable.port).render_as_string(hide_password=False)
    storage: Any = PooledPostgresStorage(through)
    with storage.run_storage.connect() as connection:
        connection.execute(text("select 1"))
        cable.fall_silent()
        with pytest.raises(OperationalError, match="said nothing for 2 s"):
            connection.execute(text("select 2"))
        cable.pull()
    storage.run_storage.dispose()
    cable.close()
