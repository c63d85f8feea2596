"""The command line, in a folder of its own, with the tests' servers at hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from command_line import command_line

from tranship.postgres.settings import PostgresSettings
from tranship.postgres.target import PostgresTarget
from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import TableName


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command line."""
    return command_line(monkeypatch, tmp_path)


@pytest.fixture
def source(sqlserver_url: str) -> SqlServerSettings:
    """The source, as the library is told of it."""
    return SqlServerSettings.from_url(sqlserver_url)


@pytest.fixture
def postgres(postgres_url: str) -> PostgresTarget:
    """The target."""
    return PostgresTarget(PostgresSettings.from_url(postgres_url))


@pytest.fixture
def table(source_table) -> Callable[..., TableName]:
    """Create a table in the source; returns its name."""
    return lambda *statements: TableName("dbo", source_table(*statements))
