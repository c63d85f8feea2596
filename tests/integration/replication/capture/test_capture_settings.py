"""What has to be switched on, and what is told of it; what checks can say of a copy that follows captured changes."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import mssql_python
import pytest
from tests.integration.replication.capture.conftest import CAPTURED, Captured
from tests.integration.replication.conftest import EVENTS, Origin, Place, of

from standins.sqlserver.remote import SqlServerProcess
from tranship.errors import ConfigurationError
from tranship.replication.columns import column_changes
from tranship.replication.plan import OnDelete
from tranship.replication.verification import Verification
from tranship.sqlserver import change_data_capture
from tranship.sqlserver.settings import SqlServerSettings


@pytest.fixture
def fresh(postgres: Place) -> Iterator[Captured]:
    """A table of a server whose database captures nothing, and its copy."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        connection = mssql_python.connect(running.odbc(), autocommit=True)
        origin = Origin(SqlServerSettings.from_url(running.url()), connection, "orders")
        origin.run(EVENTS)
        origin.add(1, 2)
        yield Captured(of(origin, postgres, **CAPTURED), running)
        connection.close()


def test_what_is_to_be_switched_on_is_said_with_the_statements(
    fresh: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    enable = "exec sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders', @role_name = null"
    with pytest.raises(ConfigurationError) as refused:
        fresh.load()
    assert "The database of dbo.orders captures no changes." in str(refused.value)
    assert "Let a member of sysadmin (of db_owner on Azure SQL) run: exec sys.sp_cdc_enable_db; " in str(refused.value)  # fmt: skip
    assert enable in str(refused.value)
    fresh.run("exec sys.sp_cdc_enable_db")
    with pytest.raises(ConfigurationError, match=r"The changes of dbo\.orders are not captured\."):
        fresh.load()
    fresh.run(enable, "exec sys.sp_cdc_stop_job @job_type = N'capture'")
    fresh.load()
    fresh.replica.origin.add(3)
    # The Agent is off: nothing was ever captured.
    assert fresh.load().startswith("0 rows that changed")
    assert "dbo.orders may be behind: the capture job has written down no commit of this database yet" in caplog.text  # fmt: skip
    assert "exec sys.sp_cdc_start_job @job_type = N'capture'" in caplog.text
    fresh.scan()
    assert fresh.load().startswith("1 rows that changed")
    fresh.assert_equal()


def test_a_login_outside_of_the_gating_role_is_told_so(fresh: Captured) -> None:
    fresh.run(
        "exec sys.sp_cdc_enable_db", "exec sys.sp_cdc_enable_table N'dbo', N'orders', N'readers'"
    )
    fresh.server.restrict(denied=["GATING ROLE"])
    with pytest.raises(ConfigurationError, match=r"alter role \[<role>\] add member \[sa\]"):
        fresh.load()
    fresh.server.restrict(denied=[])
    fresh.load()


def test_a_job_that_stands_still_is_told_with_figures(
    copy: Callable[..., Captured],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = copy()
    made.replica.origin.add(1)
    made.scan()
    made.load()
    made.load()
    assert "may be behind" not in caplog.text
    monkeypatch.setattr(change_data_capture, "CAPTURE_IS_LATE", timedelta(0))
    made.load()
    assert "may be behind: the capture job has come to LSN " in caplog.text
    assert "minutes ago by the server's clock" in caplog.text


def test_a_key_is_needed(copy: Callable[..., Captured]) -> None:
    made = copy("create table {table} (k int, v int)")
    with pytest.raises(ConfigurationError, match="no key to tell rows apart by"):
        made.load()


def test_a_key_whose_texts_may_be_captured_wrong_is_refused(copy: Callable[..., Captured]) -> None:
    made = copy(
        "create table {table} (code varchar(20) collate Latin1_General_CI_AS not null primary key, v int)"
    )
    with pytest.raises(ConfigurationError, match="has code in another collation than its database"):
        made.load()


def test_rows_that_are_gone_are_marked(copy: Callable[..., Captured]) -> None:
    made = copy(delete=OnDelete.MARK)
    made.replica.origin.add(*range(1, 5))
    made.scan()
    made.load()
    made.run("delete from {table} where id = 2")
    made.scan()
    made.load()
    marked = "select id from {} where _deleted_at is not null"
    assert made.replica.place.rows(marked, made.replica.plan.target) == [(2,)]


def test_checks_do_not_take_what_is_not_captured_yet_for_missing(
    copy: Callable[..., Captured],
) -> None:
    made = copy()
    made.replica.origin.add(1, 2)
    made.scan()

    def verification() -> Verification:
        plan, source = made.replica.plan, made.replica.source
        bookmark = made.replica.bookmark
        assert bookmark is not None
        return Verification(
            plan=plan, source=source, target=made.replica.place.target,
            changes=column_changes(plan, source.schema, None), bookmark=bookmark,
        )  # fmt: skip

    made.load()
    assert verification().row_count().passed
    made.replica.origin.add(3)
    made.load()
    counted = verification().row_count()
    assert "the bookmark does not say how many rows were read" in counted.description
    assert "rows may have changed since the last load" in verification().columns(True).description
