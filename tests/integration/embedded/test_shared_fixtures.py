"""What tests/conftest.py promises to every test: own places, nothing left, and no silent skip."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extensions

CONFTEST = Path(__file__).parents[2] / "conftest.py"
ENGINE_TEST = """
import pytest

@pytest.mark.engine
def test_a_run_gets_a_container():
    pass

def test_that_needs_none():
    pass
"""


def run_tests(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a suite that uses our conftest, on a machine whose Docker engine does not answer."""
    shutil.copy(CONFTEST, directory / "conftest.py")
    (directory / "test_engine.py").write_text(ENGINE_TEST)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = engine: needs a Docker engine\n")
    (directory / "bin").mkdir()
    docker = directory / "bin" / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    path = f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory,
        env={**os.environ, "PATH": path, "CI": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_engine_the_summary_names_the_tests_and_the_command(tmp_path: Path):
    finished = run_tests(tmp_path)
    assert finished.returncode == 0
    assert "1 passed, 1 skipped" in finished.stdout
    expected = (
        "1 tests were not run for lack of a Docker engine: test_engine.py. To run them: .ci/run"
    )
    assert expected in finished.stdout.replace("::test_a_run_gets_a_container", "")


def test_without_an_engine_ci_fails(tmp_path: Path):
    finished = run_tests(tmp_path, CI="true")
    assert finished.returncode == 1
    assert "there is no Docker engine: Cannot connect to the Docker daemon" in finished.stdout


@pytest.mark.parametrize("turn", [1, 2])
def test_a_schema_is_empty_at_first(
    postgres_schema: str, postgres_connection: extensions.connection, turn: int
):
    with postgres_connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_class where relnamespace = %s::regnamespace",
            (postgres_schema,),
        )
        assert cursor.fetchone() == (0,)
        cursor.execute(f"create table {postgres_schema}.left_behind as select {turn} as turn")
    postgres_connection.commit()


@pytest.fixture
def schemas_that_must_go(postgres_url: str) -> Iterator[list[str]]:
    """Names of schemas that must be gone by the time this fixture, set up first, is torn down."""
    names: list[str] = []
    yield names
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute("select nspname from pg_namespace where nspname = any(%s)", (names,))
        assert cursor.fetchall() == []
    connection.close()


def test_a_schema_goes_with_its_test(schemas_that_must_go: list[str], postgres_schema: str):
    schemas_that_must_go.append(postgres_schema)


def test_source_tables_have_names_of_their_own(
    source_table: Callable[..., str], sqlserver_connection
):
    first, second = (
        source_table("create table {table} (id int)", f"insert into {{table}} values ({number})")
        for number in (1, 2)
    )
    assert first != second
    cursor = sqlserver_connection.cursor()
    cursor.execute(f"select id from dbo.{second}")
    assert [tuple(row) for row in cursor.fetchall()] == [(2,)]


def test_the_source_holds_the_sample(sqlserver_connection):
    cursor = sqlserver_connection.cursor()
    cursor.execute("select count(*) from dbo.DimProduct")
    assert cursor.fetchval() == 606
