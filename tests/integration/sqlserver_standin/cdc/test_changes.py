"""What is captured of each statement.

docs/relational-databases/system-functions/cdc-fn-cdc-get-all-changes-capture-instance-transact-sql.md and
docs/relational-databases/system-tables/cdc-capture-instance-ct-transact-sql.md of MicrosoftDocs/sql-docs.
"""

import datetime

import mssql_python
import pyarrow as pa
import pytest
from tests.integration.sqlserver_standin.cdc.conftest import ENABLE, SCAN, CapturedTable

from standins.sqlserver.remote import SqlServerProcess


def test_each_change_is_kept_and_not_the_last_state_only(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10)")
    table.run("update {t} set n = 11")
    table.run("update {t} set n = 12")
    table.run("delete from {t}")
    assert table.changes() == [(2, 1, 10), (4, 1, 11), (4, 1, 12), (1, 1, 12)]


def test_both_images_of_an_update_are_there_for_who_asks(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10), (2, 20); update {t} set n = n + 1")
    assert table.changes(rows="all update old") == [
        (2, 1, 10), (2, 2, 20), (3, 1, 10), (4, 1, 11), (3, 2, 20), (4, 2, 21),
    ]  # fmt: skip


def test_an_update_of_a_unique_key_is_a_delete_and_an_insert_all_deletes_first(
    table: CapturedTable,
) -> None:
    table.run("insert into {t} (id, n) values (1, 10), (2, 20)")
    table.run("update {t} set id = 3 - id")
    assert table.changes()[2:] == [(1, 1, 10), (1, 2, 20), (2, 2, 10), (2, 1, 20)]


def test_an_update_of_nothing_leaves_nothing(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10); update {t} set n = 10")
    assert table.changes() == [(2, 1, 10)]


def test_images_of_a_table_without_a_key_belong_together(table: CapturedTable) -> None:
    table.run("create table {s}.heap (n int, s nvarchar(10))")
    table.run("exec sys.sp_cdc_enable_table N'{s}', N'heap', null")
    table.run("insert into {s}.heap values (1, 'a'), (1, 'a'), (2, 'b')")
    table.run("update {s}.heap set n = n + 1 where n > 0")
    table.run(SCAN)
    rows = table.rows(
        """select __$operation, n, s from cdc.fn_cdc_get_all_changes_{s}_heap(sys.fn_cdc_get_min_lsn(N'{s}_heap'),
        sys.fn_cdc_get_max_lsn(), N'all update old') where __$operation > 2 order by [__$seqval], [__$operation]"""
    )
    assert rows == [(3, 1, "a"), (4, 2, "a")] * 2 + [(3, 2, "b"), (4, 3, "b")]


def test_merge_and_bulk_loads_are_captured(table: CapturedTable, server: SqlServerProcess) -> None:
    server.load(table.name, [pa.RecordBatch.from_pydict({"id": [1, 2, 3], "n": [1, 2, 3]})])
    table.run(
        """merge {t} as t using (values (1, 9), (4, 4)) as v(id, n) on t.id = v.id when matched then update set n = v.n
        when not matched then insert (id, n) values (v.id, v.n) when not matched by source and t.id = 2 then delete;"""
    )
    rows = table.changes(rows="all update old")
    assert rows[:3] == [(2, 1, 1), (2, 2, 2), (2, 3, 3)]
    assert sorted(rows[3:]) == [(1, 2, 2), (2, 4, 4), (3, 1, 1), (4, 1, 9)]


def test_changes_of_one_transaction_have_one_number_and_an_order(table: CapturedTable) -> None:
    table.run("begin transaction; insert into {t} (id, n) values (1, 1); update {t} set n = 2; delete from {t}; commit")  # fmt: skip
    rows = table.changes("[__$start_lsn], [__$seqval]")
    assert [operation for operation, _, _ in rows] == [2, 4, 1]
    assert len({lsn for _, lsn, _ in rows}) == 1
    assert len({place for _, _, place in rows}) == 3


def test_numbers_follow_the_order_of_commits(
    table: CapturedTable, server: SqlServerProcess
) -> None:
    held = server.hold(f"insert into {table.name} (id, n) values (1, 1)")
    table.run("insert into {t} (id, n) values (2, 2)")
    held.commit()
    assert table.changes() == [(2, 2, 2), (2, 1, 1)]


def test_a_rollback_and_a_failed_statement_leave_nothing(table: CapturedTable) -> None:
    table.run("begin transaction; insert into {t} (id, n) values (1, 1); rollback")
    table.run("begin transaction; insert into {t} (id) values (5); insert into {t} (id) values (6); rollback")  # fmt: skip
    table.run("insert into {t} (id, n) values (2, 2)")
    with pytest.raises(Exception, match="2627"):
        table.run("update {t} set id = 2; insert into {t} (id) values (2)")
    assert table.changes() == [(2, 2, 2)]


def test_the_mask_tells_the_columns_that_changed(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 1); update {t} set n = 2, s = s")
    masks = [mask for _, mask in table.changes("[__$update_mask]")]
    assert masks == [b"\x0f", b"\x02"]
    assert table.value("select sys.fn_cdc_is_bit_set(2, 0x02)") == 1
    assert table.value("select sys.fn_cdc_is_bit_set(1, 0x02)") == 0


def test_computed_columns_are_null_always(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 1); update {t} set n = 2; delete from {t}")
    assert {twice for _, twice in table.changes("twice")} == {None}


def test_long_values_are_null_where_the_documentation_says_so(table: CapturedTable) -> None:
    table.run("create table {s}.long (id int primary key, n int, m nvarchar(max), old ntext)")
    table.run("exec sys.sp_cdc_enable_table N'{s}', N'long', null")
    table.run("insert into {s}.long values (1, 1, N'm', N'old')")
    table.run("update {s}.long set n = 2")
    table.run("update {s}.long set m = N'other'")
    table.run("delete from {s}.long")
    table.run(SCAN)
    rows = table.rows(
        """select __$operation, cast(m as nvarchar(20)), cast(old as nvarchar(20)) from cdc.fn_cdc_get_all_changes_{s}_long(
        sys.fn_cdc_get_min_lsn(N'{s}_long'), sys.fn_cdc_get_max_lsn(), N'all update old')
        order by [__$start_lsn], [__$seqval], [__$operation]"""
    )
    assert rows == [
        (2, "m", "old"),
        (3, None, None), (4, "m", "old"),
        (3, "m", None), (4, "other", "old"),
        (1, "other", None),
    ]  # fmt: skip


def test_values_of_every_kind_are_captured_as_they_were(table: CapturedTable) -> None:
    table.run(
        "create table {s}.kinds (id int primary key, d decimal(38, 10), o datetimeoffset(7), g uniqueidentifier, b varbinary(20), "
        "x bit, f float, m money, v rowversion, t time(7), u date)"
    )
    table.run("exec sys.sp_cdc_enable_table N'{s}', N'kinds', null")
    table.run(
        "insert into {s}.kinds (id, d, o, g, b, x, f, m, t, u) values (1, 1234567890123456789.0123456789, '2026-01-02T03:04:05.1234567+02:00', "
        "'6F9619FF-8B86-D011-B42D-00C04FC964FF', 0x0102, 1, 1.5, 9.99, '01:02:03.1234567', '2026-01-02')"
    )
    table.run("update {s}.kinds set id = 2; update {s}.kinds set x = 0")
    table.run(SCAN)
    same = "d, cast(o as nvarchar(40)), g, b, f, m, cast(t as nvarchar(20)), u"
    rows = table.rows(f"select {same} from cdc.[{{s}}_kinds_CT]")
    assert len(rows) == 5
    assert {tuple(map(str, row)) for row in rows} == {tuple(map(str, table.rows(f"select {same} from {{s}}.kinds")[0]))}  # fmt: skip
    assert len({v for (v,) in table.rows("select v from cdc.[{s}_kinds_CT]")}) == 3


def test_times_of_commits_are_the_servers(table: CapturedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run(SCAN)
    highest = table.value("select max([__$start_lsn]) from cdc.[{i}_CT]")
    when = table.cursor.execute("select sys.fn_cdc_map_lsn_to_time(?)", [highest]).fetchval()
    assert isinstance(when, datetime.datetime)
    find = "select sys.fn_cdc_map_time_to_lsn(?, ?)"
    for words in ("largest less than or equal", "smallest greater than or equal"):
        assert table.cursor.execute(find, [words, when]).fetchval() == highest
    assert table.cursor.execute(find, ["largest less than", when]).fetchval() != highest
    assert table.cursor.execute(find, ["smallest greater than", when]).fetchval() is None
    assert table.value("select sys.fn_cdc_map_lsn_to_time(0x00000000000000000001)") is None


def test_the_catalogue_tells_of_it(table: CapturedTable) -> None:
    assert table.value("select is_cdc_enabled from sys.databases where name = db_name()") is True
    shown = (
        "select is_tracked_by_cdc, is_ms_shipped from sys.tables where object_id = object_id('{}')"
    )
    assert table.rows(shown.format(table.name)) == [(True, False)]
    assert table.rows(shown.format(f"cdc.{table.instance}_CT")) == [(False, True)]
    columns = """select c.column_name, c.column_type, c.column_ordinal, c.is_computed from cdc.captured_columns c join cdc.change_tables t
    on t.object_id = c.object_id where t.capture_instance = '{i}' order by c.column_ordinal"""
    assert table.rows(columns) == [
        ("id", "int", 1, False), ("n", "int", 2, False), ("s", "nvarchar", 3, False), ("twice", "int", 4, True),
    ]  # fmt: skip
    index = """select c.column_name, c.index_ordinal from cdc.index_columns c join cdc.change_tables t on t.object_id = c.object_id
    where t.capture_instance = '{i}'"""
    assert table.rows(index) == [("id", 1)]
    (told,) = table.rows("exec sys.sp_cdc_help_change_data_capture @source_schema = N'{s}', @source_name = N't'")  # fmt: skip
    assert told[:3] == (table.schema, "t", table.instance)
    assert told[5] == table.lowest()
    assert told[-2:] == ("[id]", "[id], [n], [s], [twice]")


def test_parameters_carry_numbers(table: CapturedTable, cursor: mssql_python.Cursor) -> None:
    table.run("insert into {t} (id) values (1), (2)")
    table.run(SCAN)
    ask = (
        f"select id from cdc.fn_cdc_get_all_changes_{table.instance}(?, ?, N'all') as c order by id"
    )
    rows = cursor.execute(ask, [table.lowest(), table.highest()]).fetchall()
    assert [row[0] for row in rows] == [1, 2]


def test_another_instance_captures_what_is_committed_from_then_on(table: CapturedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 1)")
    table.run("alter table {t} add extra int")
    table.run("update {t} set extra = 5")
    table.run(ENABLE + ", @capture_instance = N'{s}_two'")
    table.run("update {t} set extra = 6, n = 2")
    assert table.changes() == [(2, 1, 1), (4, 1, 2)]
    rows = table.rows(
        """select __$operation, n, extra from cdc.fn_cdc_get_all_changes_{s}_two(sys.fn_cdc_get_min_lsn(N'{s}_two'),
        sys.fn_cdc_get_max_lsn(), N'all')"""
    )
    assert rows == [(4, 2, 6)]
    assert table.value("select sys.fn_cdc_get_min_lsn(N'{s}_two')") > table.lowest()  # type: ignore[operator]
