"""Where what is captured begins and ends, and what is refused, with number, level, state and text.

docs/relational-databases/track-changes/work-with-change-data-sql-server.md, about-change-data-capture-sql-server.md and
docs/relational-databases/errors-events/database-engine-events-and-errors-22000-to-22999.md of MicrosoftDocs/sql-docs.
"""

from collections.abc import Iterator

import mssql_python
import pytest
from tests.integration.sqlserver_standin.cdc.conftest import ENABLE, SCAN, CapturedTable
from tests.integration.sqlserver_standin.conftest import PASSWORD
from tests.integration.sqlserver_standin.tracking.test_refusals import refusal

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess

BAD_INTERVAL = (
    313, 16, 3, "An insufficient number of arguments were supplied for the procedure or function cdc.fn_cdc_get_all_changes_ ... .",
)  # fmt: skip
ASK = "select count(*) from cdc.fn_cdc_get_all_changes_{i}({first}, {last}, {rows})"


@pytest.fixture
def database() -> Iterator[SqlServerProcess]:
    """Another stand-in, whose database captures nothing."""
    with SqlServerProcess(password=PASSWORD) as running:
        yield running


@pytest.fixture
def filled(table: CapturedTable) -> CapturedTable:
    """Two commits, captured."""
    table.run("insert into {t} (id, n) values (1, 1)")
    table.run("insert into {t} (id, n) values (2, 2)")
    table.run(SCAN)
    return table


def literal(lsn: object) -> str:
    assert isinstance(lsn, bytes)
    return f"0x{lsn.hex()}"


def moved(lsn: object, step: int) -> str:
    assert isinstance(lsn, bytes)
    return literal((int.from_bytes(lsn, "big") + step).to_bytes(10, "big"))


def test_both_ends_belong_to_the_interval(filled: CapturedTable) -> None:
    commits = [lsn for (lsn,) in filled.rows("select distinct [__$start_lsn] from cdc.[{i}_CT] order by 1")]  # fmt: skip
    assert len(commits) == 2
    ask = "select id from cdc.fn_cdc_get_all_changes_{i}({first}, {last}, N'all')"
    first, last = literal(commits[0]), literal(commits[1])
    assert filled.rows(ask.replace("{first}", first).replace("{last}", first)) == [(1,)]
    assert filled.rows(ask.replace("{first}", moved(commits[0], 1)).replace("{last}", last)) == [(2,)]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "last", "rows"),
    [
        ("{below}", "{max}", "N'all'"), ("{min}", "{above}", "N'all'"), ("null", "{max}", "N'all'"), ("{min}", "null", "N'all'"),
        ("{max}", "{min}", "N'all'"), ("{min}", "{max}", "N'everything'"), ("{min}", "{max}", "null"),
    ],
)  # fmt: skip
def test_an_interval_that_the_instance_does_not_have_is_313(
    filled: CapturedTable, first: str, last: str, rows: str
) -> None:
    ends = {
        "{min}": literal(filled.lowest()), "{max}": literal(filled.highest()),
        "{below}": moved(filled.lowest(), -1), "{above}": moved(filled.highest(), 1),
    }  # fmt: skip
    sql = ASK.format(i=filled.instance, first=ends.get(first, first), last=ends.get(last, last), rows=rows)  # fmt: skip
    assert refusal(filled.server, sql) == BAD_INTERVAL


def test_the_driver_sees_313_too(filled: CapturedTable, cursor: mssql_python.Cursor) -> None:
    above = moved(filled.highest(), 1)
    with pytest.raises(mssql_python.Error, match="insufficient number of arguments"):
        cursor.execute(ASK.format(i=filled.instance, first=above, last=above, rows="N'all'")).fetchall()  # fmt: skip


def test_nothing_is_seen_before_the_job_has_scanned_it(table: CapturedTable) -> None:
    before = table.highest()
    table.run("insert into {t} (id, n) values (1, 1)")
    assert table.highest() == before
    assert table.value("select count(*) from cdc.[{i}_CT]") == 0
    table.run(SCAN)
    assert table.highest() > (before or b"")  # type: ignore[operator]
    assert table.value("select count(*) from cdc.[{i}_CT]") == 1


def test_a_running_job_scans_by_itself_and_alone(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 1)")
    table.run("exec sys.sp_cdc_start_job @job_type = N'capture'")
    while not table.value("select count(*) from cdc.[{i}_CT]"):
        pass
    number, severity, _, text = refusal(table.server, SCAN)
    assert (number, severity) == (22903, 16)
    assert "already running 'sp_replcmds'" in text


def test_the_highest_number_stands_still_in_a_quiet_database_until_the_job_notes_that(
    filled: CapturedTable,
) -> None:
    before = filled.highest()
    filled.run("create table {s}.other (id int primary key)")
    filled.run("insert into {s}.other values (1)")
    assert filled.highest() == before
    filled.run(SCAN)
    assert filled.highest() > before  # type: ignore[operator]
    last = filled.rows("select top 1 tran_id from cdc.lsn_time_mapping order by start_lsn desc")
    assert last == [(bytes(10),)]


def test_no_snapshot_holds_the_highest_number_back(
    filled: CapturedTable, server: SqlServerProcess
) -> None:
    connection = mssql_python.connect(server.odbc(), autocommit=True)
    cursor = connection.cursor()
    cursor.execute("set transaction isolation level snapshot; begin transaction")
    count = f"select count(*) from cdc.[{filled.instance}_CT]"
    assert cursor.execute(count).fetchval() == 2
    before = cursor.execute("select sys.fn_cdc_get_max_lsn()").fetchval()
    filled.run("insert into {t} (id, n) values (3, 3)")
    filled.run(SCAN)
    assert cursor.execute(count).fetchval() == 2
    assert cursor.execute("select sys.fn_cdc_get_max_lsn()").fetchval() != before
    connection.close()


def test_a_clean_up_moves_the_lower_end_and_forgets_what_is_below(filled: CapturedTable) -> None:
    mark = filled.highest()
    filled.run(f"exec sys.sp_cdc_cleanup_change_table N'{{i}}', {literal(mark)}, 5000")
    assert filled.lowest() == mark
    assert filled.rows("select id from cdc.[{i}_CT]") == [(2,)]
    unknown = moved(mark, 1)
    number, *_ = refusal(filled.server, filled.filled(f"exec sys.sp_cdc_cleanup_change_table N'{{i}}', {unknown}"))  # fmt: skip
    assert number == 22964
    assert refusal(filled.server, "exec sys.sp_cdc_cleanup_change_table N'none', null")[0] == 22920


def test_an_unknown_instance_has_zeros_and_no_function(table: CapturedTable) -> None:
    assert table.value("select sys.fn_cdc_get_min_lsn(N'nothing')") == bytes(10)
    missing = refusal(table.server, "select 1 from cdc.fn_cdc_get_all_changes_nothing(0x01, 0x02, N'all')")  # fmt: skip
    assert missing[0] == 208


def test_who_is_outside_of_the_role_sees_nothing(
    table: CapturedTable, server: SqlServerProcess
) -> None:
    table.run("exec sys.sp_cdc_enable_table N'{s}', N't', N'readers', N'{s}_gated'")
    server.restrict(denied=["GATING ROLE"])
    try:
        assert table.value("select sys.fn_cdc_get_min_lsn(N'{s}_gated')") == bytes(10)
        sql = ASK.format(i=f"{table.schema}_gated", first="0x01", last="0x02", rows="N'all'")
        assert refusal(server, sql) == (
            229, 14, 5,
            f"The SELECT permission was denied on the object 'fn_cdc_get_all_changes_{table.schema}_gated', database 'AdventureWorksDW', "
            "schema 'cdc'.",
        )  # fmt: skip
        told = table.rows("exec sys.sp_cdc_help_change_data_capture N'{s}', N't'")
        assert [row[2] for row in told] == [table.instance]
    finally:
        server.restrict(denied=[])


def test_a_table_has_two_instances_at_most(table: CapturedTable) -> None:
    again = refusal(table.server, table.filled(ENABLE))
    assert again[0] == 22926
    table.run(ENABLE + ", @capture_instance = N'{s}_two'")
    third = refusal(table.server, table.filled(ENABLE + ", @capture_instance = N'{s}_three'"))
    assert third[0] == 22962
    assert "A table can have at most two capture instances" in third[3]
    table.run("exec sys.sp_cdc_disable_table N'{s}', N't', N'{i}'")
    assert table.rows("select capture_instance from cdc.change_tables where source_object_id = object_id('{t}')") == [(f"{table.schema}_two",)]  # fmt: skip
    table.run("exec sys.sp_cdc_disable_table N'{s}', N't', N'all'")
    assert table.value("select is_tracked_by_cdc from sys.tables where object_id = object_id('{t}')") is False  # fmt: skip
    assert refusal(table.server, table.filled("exec sys.sp_cdc_disable_table N'{s}', N't', N'all'"))[0] == 22985  # fmt: skip


def test_what_enable_table_refuses(table: CapturedTable) -> None:
    table.run("create table {s}.heap (n int, [a, b] int)")
    enable = "exec sys.sp_cdc_enable_table @source_schema = N'{s}', @source_name = N'heap', @role_name = null, "
    for arguments, number in (
        ("@supports_net_changes = 1", 22939),
        ("@index_name = N'none'", 22928),
        ("@captured_column_list = N'[n], [c]'", 22942),
        (f"@capture_instance = N'{'x' * 101}'", 22927),
    ):
        assert refusal(table.server, table.filled(enable + arguments))[0] == number
    table.run(enable + "@captured_column_list = N'[a, b]'")
    assert table.rows("select column_name from cdc.captured_columns where object_id = object_id('cdc.{s}_heap_CT')") == [("a, b",)]  # fmt: skip
    number, *_ = refusal(table.server, "exec sys.sp_cdc_enable_table N'dbo', N'none', null")
    assert number == 22931
    assert refusal(table.server, "exec sys.sp_cdc_enable_table N'cdc', N'x', null")[0] == 22974
    assert refusal(table.server, "exec sys.sp_cdc_enable_table N'dbo', N'x'")[0] == 201


def test_truncate_is_refused(table: CapturedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    assert refusal(table.server, f"truncate table {table.name}") == (
        4711, 16, 1,
        "Cannot truncate table 't' because it is published for replication or enabled for Change Data Capture.",
    )  # fmt: skip


def test_an_instance_keeps_its_shape(table: CapturedTable) -> None:
    table.run("insert into {t} (id, s) values (1, N'a')")
    table.run("alter table {t} add later int null")
    table.run("update {t} set later = 1, n = 1")
    table.run("alter table {t} drop column s")
    table.run("alter table {t} add s nvarchar(20) null")
    table.run("update {t} set s = N'another column', n = 2")
    assert table.changes("n, s") == [(2, None, "a"), (4, 1, "a"), (4, 2, None)]
    with pytest.raises(SqlError, match="Invalid column name 'later'"):
        table.run("select later from cdc.[{i}_CT]")


def test_a_wider_type_reaches_the_change_table(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 1)")
    table.run("alter table {t} drop column twice")
    table.run("alter table {t} alter column n bigint null")
    table.run("update {t} set n = 5000000000")
    assert table.changes() == [(2, 1, 1), (4, 1, 5000000000)]


def test_the_key_of_net_changes_stays(table: CapturedTable) -> None:
    (name,) = table.rows("select index_name from cdc.change_tables where capture_instance = '{i}'")[0]  # fmt: skip
    refused = refusal(table.server, f"alter table {table.name} drop constraint {name}")
    assert refused[0] == 22979


def test_a_dropped_table_takes_its_instances_along(table: CapturedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run("drop table {t}")
    assert table.lowest() == bytes(10)
    table.run("create table {t} (id int primary key)")
    table.run(ENABLE)
    table.run("insert into {t} (id) values (2)")
    assert table.changes("id") == [(2, 2)]


def test_a_database_comes_first_and_its_owner(database: SqlServerProcess) -> None:
    database.execute("create table dbo.t (id int primary key)")
    enable = ENABLE.format(schema="dbo")
    assert refusal(database, enable)[0] == 22901
    assert refusal(database, "exec sys.sp_cdc_help_change_data_capture")[0] == 22901
    assert refusal(database, "select 1 from cdc.change_tables")[0] == 208
    database.restrict(denied=["SYSADMIN", "DB_OWNER"])
    assert refusal(database, "exec sys.sp_cdc_enable_db")[0] == 22902
    database.restrict(denied=["DB_OWNER"])
    database.execute("create schema cdc")
    assert refusal(database, "exec sys.sp_cdc_enable_db")[0] == 22906
    database.execute("drop schema cdc; exec sys.sp_cdc_enable_db; exec sys.sp_cdc_enable_db")
    assert refusal(database, enable)[0] == 22904
    database.restrict(denied=[])
    database.execute(enable)
    database.execute("exec sys.sp_cdc_disable_db; exec sys.sp_cdc_disable_db")
    assert refusal(database, enable)[0] == 22901


def test_enabling_waits_for_who_changes_the_table(
    table: CapturedTable, server: SqlServerProcess
) -> None:
    held = server.hold(f"insert into {table.name} (id, n) values (1, 1)")
    connection = mssql_python.connect(server.odbc(), autocommit=True)
    enable = table.filled(ENABLE + ", @capture_instance = N'{s}_two'")
    with pytest.raises(mssql_python.Error, match="Lock request time out period exceeded"):
        connection.cursor().execute(f"set lock_timeout 0; {enable}")
    connection.close()
    held.commit()
    table.run(ENABLE + ", @capture_instance = N'{s}_two'")
