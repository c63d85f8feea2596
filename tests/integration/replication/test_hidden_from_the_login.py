"""What the source hides from its login is looked for and said: masks, ciphertext, filtered rows and keys."""

import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mssql_python
import pytest
from tests.integration.replication.conftest import EVENTS, KEYLESS, Origin, Place, of

from standins.sqlserver.remote import SqlServerProcess
from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.replication.config import ColumnSettings
from tranship.replication.load import LoadReport
from tranship.replication.plan import Mode
from tranship.sqlserver.settings import SqlServerSettings
from tranship.visibility import OnMasked

MERGE = {"mode": Mode.MERGE, "cursor": "changed"}


def load(origin: Origin, place: Place, **settings: Any) -> LoadReport:
    """Load a table as a run does: with what the source says now."""
    return of(origin, place, **settings).load()


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServerProcess]:
    """A source of the tests' own: what its login may see, they change."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        yield running


@pytest.fixture
def table(server: SqlServerProcess) -> Iterator[Callable[..., Origin]]:
    """Create a table in it, which a login with SELECT and no more reads."""
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)
    server.restrict(denied=["VIEW DEFINITION", "UNMASK"])

    def make(statement: str = EVENTS) -> Origin:
        origin = Origin(
            SqlServerSettings.from_url(server.url()),
            connection,
            f"t_{uuid.uuid4().hex[:12]}",
        )
        origin.run(statement)
        origin.add(1, 2, changed="2024-01-01T00:00:00", name="somebody")
        return origin

    yield make
    server.restrict(denied=[])
    connection.close()


def test_masks_are_not_loaded_as_values(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place
):
    origin = table()
    server.restrict(table=str(origin.name), column="name", masked=True)
    with pytest.raises(ConfigurationError, match="masked for this login") as refused:
        load(origin, postgres, **MERGE)
    user = SqlServerSettings.from_url(server.url()).user
    assert (
        f"grant unmask on [dbo].[{origin.name.name}] ([name]) to [{user}];" in refused.value.remedy
    )
    assert "exclude: [name]" in refused.value.remedy


def test_masks_are_loaded_where_they_are_wanted(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place
):
    origin = table()
    server.restrict(table=str(origin.name), column="name", masked=True)
    assert load(origin, postgres, **MERGE, masked=OnMasked.ACCEPT).rows == 2


@pytest.mark.parametrize(("masked", "encryption_type"), [(True, None), (False, 1), (False, 2)])
def test_a_column_that_is_left_out_may_be_hidden(
    server: SqlServerProcess,
    table: Callable[..., Origin],
    postgres: Place,
    masked: bool,
    encryption_type: int | None,
):
    origin = table()
    server.restrict(
        table=str(origin.name), column="name", masked=masked, encryption_type=encryption_type
    )
    report = load(origin, postgres, **MERGE, columns=ColumnSettings(exclude=["name"]))
    assert report.rows == 2


def test_a_login_that_may_unmask_reads_the_values(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place
):
    origin = table()
    server.restrict(table=str(origin.name), column="name", masked=True)
    server.restrict(denied=["VIEW DEFINITION"])
    assert load(origin, postgres, **MERGE).rows == 2


@pytest.mark.parametrize("encryption_type", [1, 2])
def test_ciphertext_is_not_loaded_as_values(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place, encryption_type: int
):
    origin = table()
    server.restrict(table=str(origin.name), column="name", encryption_type=encryption_type)
    with pytest.raises(UnsupportedTypeError, match=r"encrypted \(Always Encrypted\)") as refused:
        load(origin, postgres, **MERGE, masked=OnMasked.ACCEPT)
    assert "exclude: [name]" in refused.value.remedy


def test_rows_that_are_filtered_are_told_of(
    server: SqlServerProcess,
    table: Callable[..., Origin],
    postgres: Place,
    caplog: pytest.LogCaptureFixture,
):
    origin = table()
    server.restrict(denied=[], table=str(origin.name), policy="TenantFilter")
    with caplog.at_level(logging.WARNING):
        load(origin, postgres, **MERGE)
    assert f"Rows of {origin.name} are filtered for this login" in caplog.text
    assert "TenantFilter" in caplog.text


def test_whether_rows_are_filtered_may_be_hidden_and_that_is_told_of(
    table: Callable[..., Origin], postgres: Place, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        load(table(), postgres, **MERGE)
    assert "may not see whether rows are filtered by row-level security" in caplog.text


def test_a_key_that_only_the_indexes_tell_of_is_used(table: Callable[..., Origin], postgres: Place):
    origin = table()
    load(origin, postgres, **MERGE)
    origin.run("update {table} set name = N'other', changed = '2024-02-01T00:00:00' where id = 1")
    load(origin, postgres, **MERGE)
    assert len(of(origin, postgres, **MERGE).copied()) == 2


def test_a_table_whose_keys_are_hidden_takes_no_keyless_way(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place
):
    origin = table(KEYLESS)
    server.restrict(denied=["VIEW DEFINITION", "INDEXES"])
    with pytest.raises(ConfigurationError, match="is hidden from this login") as refused:
        load(origin, postgres, mode=Mode.APPEND, cursor="id")
    assert f"grant view definition on [dbo].[{origin.name.name}] to [" in refused.value.remedy


def test_a_table_that_has_no_key_is_known_to_have_none(
    table: Callable[..., Origin], postgres: Place
):
    assert load(table(KEYLESS), postgres, mode=Mode.APPEND, cursor="id").rows == 2
