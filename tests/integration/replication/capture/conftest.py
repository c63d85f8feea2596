"""Tables whose changes a source of the tests' own captures, and their copies; the capture job scans when a test says so."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mssql_python
import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place, Replica, of

from standins.sqlserver.remote import SqlServerProcess
from tranship.replication.plan import FollowedChanges, Mode, OnDelete
from tranship.sqlserver.settings import SqlServerSettings

CAPTURED: dict[str, Any] = {
    "mode": Mode.MERGE,
    "changes": FollowedChanges.CAPTURE,
    "delete": OnDelete.REMOVE,
    "delete_guard": "100%",
}


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServerProcess]:
    with SqlServerProcess(password="Correct-Horse-1") as running:
        running.execute("exec sys.sp_cdc_enable_db; create table dbo.first (id int primary key)")
        running.execute("exec sys.sp_cdc_enable_table N'dbo', N'first', null")
        running.execute("exec sys.sp_cdc_stop_job @job_type = N'capture'")
        yield running


@dataclass(frozen=True)
class Captured:
    """A captured table and its copy."""

    replica: Replica
    server: SqlServerProcess

    @property
    def name(self) -> str:
        return self.replica.origin.name.name

    @property
    def bookmark(self) -> int:
        kept = self.replica.bookmark
        assert kept is not None
        return int(kept.cursor_value or 0)

    def run(self, *statements: str) -> None:
        self.replica.origin.run(*statements)

    def enable(self, **more: str) -> None:
        """Makes an instance; by default under the name that the server gives it."""
        arguments = "".join(f", @{name} = N'{value}'" for name, value in more.items())
        self.run(
            f"exec sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{self.name}', @role_name = null{arguments}"
        )

    def disable(self, instance: str = "all") -> None:
        self.run(f"exec sys.sp_cdc_disable_table N'dbo', N'{self.name}', N'{instance}'")

    def scan(self) -> None:
        """Lets the capture job come to the end of the log."""
        self.run("exec sys.sp_cdc_scan")

    def clean_up(self, *instances: str) -> None:
        """Forgets all that is captured, as the clean-up does when it is older than the retention."""
        cursor = self.replica.origin.connection.cursor()
        highest = cursor.execute("select sys.fn_cdc_get_max_lsn()").fetchval()
        for instance in instances or (f"dbo_{self.name}",):
            self.run(f"exec sys.sp_cdc_cleanup_change_table N'{instance}', 0x{highest.hex()}, 5000")

    def again(self, **settings: Any) -> "Captured":
        """The same with its table looked up anew."""
        replica = self.replica
        plan = {**CAPTURED, **settings}
        return Captured(of(replica.origin, replica.place, **plan), self.server)

    def load(self, **request: Any) -> str:
        """Brings the copy up to date and gives what was done."""
        return self.replica.load(**request).what

    def assert_equal(self, columns: str | None = None) -> None:
        _ = self.replica.assert_equal(columns) if columns else self.replica.assert_equal()


@pytest.fixture
def table(server: SqlServerProcess) -> Iterator[Callable[..., Origin]]:
    """Create a table in the source: by its statement, or `EVENTS`."""
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)

    def make(*statements: str) -> Origin:
        settings = SqlServerSettings.from_url(server.url())
        origin = Origin(settings, connection, f"t_{uuid.uuid4().hex[:12]}")
        origin.run(*(statements or (EVENTS,)))
        return origin

    yield make
    connection.close()


@pytest.fixture
def copy(
    server: SqlServerProcess, table: Callable[..., Origin], postgres: Place
) -> Callable[..., Captured]:
    """A captured table and its copy, not loaded yet."""

    def make(*statements: str, **settings: Any) -> Captured:
        made = Captured(of(table(*statements), postgres, **{**CAPTURED, **settings}), server)
        made.enable()
        return made

    return make
