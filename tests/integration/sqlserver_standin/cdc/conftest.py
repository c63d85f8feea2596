"""A stand-in whose database captures changes, for all tests here; its capture job is stopped, and scans when a test says so."""

from collections.abc import Iterator
from dataclasses import dataclass

import mssql_python
import pytest
from tests.integration.sqlserver_standin.conftest import PASSWORD

from standins.sqlserver.remote import SqlServerProcess

SCAN = "exec sys.sp_cdc_scan"
ENABLE = "exec sys.sp_cdc_enable_table @source_schema = N'{schema}', @source_name = N't', @role_name = null"


@pytest.fixture(scope="session")
def server() -> Iterator[SqlServerProcess]:
    with SqlServerProcess(password=PASSWORD) as running:
        running.execute("exec sys.sp_cdc_enable_db")
        yield running


@dataclass
class CapturedTable:
    """A captured table, and what its instance tells."""

    schema: str
    server: SqlServerProcess
    cursor: mssql_python.Cursor

    @property
    def name(self) -> str:
        return f"{self.schema}.t"

    @property
    def instance(self) -> str:
        return f"{self.schema}_t"

    def run(self, sql: str) -> None:
        """Runs a batch in which `t` in braces is the table, `i` its instance and `s` its schema."""
        self.server.execute(self.filled(sql))

    def filled(self, sql: str) -> str:
        return sql.format(t=self.name, i=self.instance, s=self.schema, schema=self.schema)

    def value(self, sql: str) -> object:
        return self.cursor.execute(self.filled(sql)).fetchval()

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row) for row in self.cursor.execute(self.filled(sql)).fetchall()]

    def lowest(self) -> object:
        return self.value("select sys.fn_cdc_get_min_lsn(N'{i}')")

    def highest(self) -> object:
        return self.value("select sys.fn_cdc_get_max_lsn()")

    def changes(self, columns: str = "id, n", rows: str = "all") -> list[tuple]:
        """After a scan: the operation and `columns` of all changes, in their order."""
        self.run(SCAN)
        return self.rows(
            f"""select __$operation, {columns} from cdc.fn_cdc_get_all_changes_{{i}}(
            sys.fn_cdc_get_min_lsn(N'{{i}}'), sys.fn_cdc_get_max_lsn(), N'{rows}')
            order by [__$start_lsn], [__$seqval], [__$operation]"""
        )


@pytest.fixture
def table(server: SqlServerProcess, schema: str, cursor: mssql_python.Cursor) -> CapturedTable:
    made = CapturedTable(schema, server, cursor)
    made.run(
        "create table {t} (id int not null primary key, n int null, s nvarchar(20) null, twice as (n * 2))"
    )
    made.run(ENABLE)
    made.run("exec sys.sp_cdc_stop_job @job_type = N'capture'")
    return made
