"""The source under test, and a cable to it that a test can pull out."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cable import Cable

from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import TableName


@pytest.fixture
def settings(sqlserver_url: str) -> SqlServerSettings:
    """The source, as the library is told of it."""
    return SqlServerSettings.from_url(sqlserver_url)


@pytest.fixture
def cable(settings: SqlServerSettings) -> Iterator[Cable]:
    """A cable to the source."""
    made = Cable(settings.host, settings.port)
    yield made
    made.close()


@pytest.fixture
def through_cable(settings: SqlServerSettings, cable: Cable) -> SqlServerSettings:
    """The source at the other end of the cable."""
    return replace(settings, host="127.0.0.1", port=cable.port)


@pytest.fixture
def table(source_table):
    """Create a table in the source; returns its name."""
    return lambda *statements: TableName("dbo", source_table(*statements))
