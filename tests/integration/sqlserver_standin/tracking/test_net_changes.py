"""What CHANGETABLE(CHANGES ...) tells of a key, relative to the version that the caller knows.

Rules: docs/relational-databases/system-functions/changetable-transact-sql.md of MicrosoftDocs/sql-docs, but for those marked "tried":
another project tried them on SQL Server 2025.
"""

import mssql_python
import pyarrow as pa
import pytest
from tests.integration.sqlserver_standin.tracking.conftest import TrackedTable

from standins.sqlserver.remote import SqlServerProcess


@pytest.mark.parametrize(
    ("statements", "operation"),
    [
        (["insert into {t} (id) values (1)"], "I"),
        (["insert into {t} (id) values (1)", "update {t} set n = 1"], "I"),
        (["insert into {t} (id) values (1)", "delete from {t}"], "D"),
        (["insert into {t} (id) values (1)", "delete from {t}", "insert into {t} (id) values (1)"], "I"),
    ],
)  # fmt: skip
def test_a_new_key_is_an_insert_until_it_is_gone(
    table: TrackedTable, statements: list[str], operation: str
) -> None:
    for statement in statements:
        table.run(statement)
    assert table.changes() == [(1, operation)]


@pytest.mark.parametrize(
    ("statements", "operation"),
    [
        (["update {t} set n = 1"], "U"),
        (["delete from {t}"], "D"),
        (["update {t} set n = 1", "delete from {t}"], "D"),
        # "If you delete a row and then insert a row that has the old primary key, the change is seen as an update"
        (["delete from {t}", "insert into {t} (id) values (1)"], "U"),
        (["delete from {t}", "insert into {t} (id) values (1)", "update {t} set n = 1"], "U"),
        (["delete from {t}", "insert into {t} (id) values (1)", "delete from {t}"], "D"),
    ],
)
def test_a_known_key_is_an_update_until_it_is_gone(
    table: TrackedTable, statements: list[str], operation: str
) -> None:
    table.run("insert into {t} (id) values (1)")
    for statement in statements:
        table.run(statement)
    assert table.changes(1) == [(1, operation)]


def test_an_insert_and_a_later_update_are_what_the_caller_does_not_know_of_them(
    table: TrackedTable,
) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run("update {t} set n = 1")
    columns = "sys_change_operation, sys_change_version, sys_change_creation_version"
    first = table.start + 1
    assert table.changes(0, columns) == [(1, "I", first + 1, first)]
    assert table.changes(1, columns) == [(1, "U", first + 1, None)]
    assert table.changes(2, columns) == []
    assert table.changes(None, columns) == [(1, "I", first + 1, first)]


def test_a_key_that_moves_is_deleted_and_inserted(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run("update {t} set id = 2 where id = 1")
    assert table.changes(1) == [(1, "D"), (2, "I")]


def test_keys_that_change_places_are_both_there(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10), (2, 20)")
    table.run("update {t} set id = 3 - id")
    assert table.changes(1) == [(1, "U"), (2, "U")]


def test_a_key_that_is_set_to_what_it_was_is_made_anew(table: TrackedTable) -> None:
    """Tried: `SET id = id` gives a new creation version."""
    table.run("insert into {t} (id) values (1)")
    table.run("update {t} set id = id")
    assert table.changes(1, "sys_change_operation, sys_change_creation_version") == [
        (1, "U", table.start + 2)
    ]


def test_an_update_that_changes_nothing_is_a_change(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10)")
    table.run("update {t} set n = n")
    assert table.changes(1) == [(1, "U")]


def test_a_statement_that_finds_no_row_draws_no_version(table: TrackedTable) -> None:
    table.run("update {t} set n = 1; delete from {t}; insert into {t} (id) select 1 where 1 = 0")
    assert table.version() == 0


def test_each_row_of_a_statement_is_told_under_one_version(table: TrackedTable) -> None:
    table.run("insert into {t} (id) select 1 union all select 2 union all select 3")
    first = table.start + 1
    assert table.changes(0, "sys_change_version") == [(1, first), (2, first), (3, first)]


def test_rows_with_output_are_recorded_and_put_out(table: TrackedTable) -> None:
    cursor = table.cursor
    sql = f"insert into {table.name} (id, n) output inserted.n, inserted.id values (1, 10)"
    assert [tuple(row) for row in cursor.execute(sql).fetchall()] == [(10, 1)]
    sql = f"delete from {table.name} output deleted.n"
    assert [tuple(row) for row in cursor.execute(sql).fetchall()] == [(10,)]
    assert table.changes() == [(1, "D")]


def test_rows_loaded_as_arrow_are_recorded(table: TrackedTable, server: SqlServerProcess) -> None:
    batch = pa.RecordBatch.from_pydict({"id": [1, 2], "n": [10, None]})
    server.load(table.name, [batch])
    assert table.changes() == [(1, "I"), (2, "I")]
    assert table.version() == 1


# -- SYS_CHANGE_COLUMNS
def in_mask(column: str) -> str:
    return f"change_tracking_is_column_in_mask(columnproperty(object_id('{{t}}'), '{column}', 'ColumnId'), sys_change_columns)"


def test_an_update_names_the_columns_that_it_set(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n, s) values (1, 10, N'a')")
    table.run("update {t} set n = 10")
    columns = ", ".join(in_mask(name).format(t=table.name) for name in ("n", "s", "id", "twice"))
    assert table.changes(1, columns) == [(1, 1, 0, 0, 0)]


def test_no_columns_are_named_where_all_were_set_or_the_row_is_new(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n, s) values (1, 10, N'a')")
    table.run("update {t} set n = 1, s = N'b'")
    table.run("insert into {t} (id) values (2)")
    table.run("update {t} set n = 1 where id = 2")
    table.run("insert into {t} (id) values (3)")
    table.run("delete from {t} where id = 3")
    assert table.changes(1, "sys_change_columns") == [(1, None), (2, None), (3, None)]


def test_columns_of_several_updates_come_together(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n, s) values (1, 10, N'a')")
    table.run("update {t} set n = 1")
    table.run("update {t} set s = N'b'")
    columns = ", ".join(in_mask(name).format(t=table.name) for name in ("n", "s", "id"))
    assert table.changes(1, columns) == [(1, 1, 1, 0)]
    assert table.changes(2, columns) == [(1, 0, 1, 0)]


def test_no_columns_are_named_behind_a_delete_and_an_insert(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10)")
    table.run("delete from {t}; insert into {t} (id, n) values (1, 10); update {t} set n = 1")
    assert table.changes(1, "sys_change_operation, sys_change_columns") == [(1, "U", None)]


def test_no_columns_are_named_where_they_are_not_tracked(table: TrackedTable) -> None:
    table.run("alter table {t} disable change_tracking; alter table {t} enable change_tracking")
    table.run("insert into {t} (id, n) values (1, 10)")
    table.run("update {t} set n = 1")
    assert table.changes(table.version() - 1, "sys_change_columns") == [(1, None)]


def test_all_columns_are_in_a_mask_of_null(table: TrackedTable) -> None:
    assert table.value("select change_tracking_is_column_in_mask(2, null)") == 1


@pytest.mark.parametrize("mask", ["0x00000000", "0x0000000002", "0x0100000002000000"])
def test_bytes_that_are_no_mask_are_refused(table: TrackedTable, mask: str) -> None:
    with pytest.raises(Exception, match="The value must be a bitmask returned by the CHANGETABLE"):
        table.value(f"select change_tracking_is_column_in_mask(2, {mask})")


# -- SYS_CHANGE_CONTEXT (docs/relational-databases/system-functions/with-change-tracking-context-transact-sql.md)
def test_a_change_carries_the_context_of_its_statement(table: TrackedTable) -> None:
    table.run("with change_tracking_context (0x0102) insert into {t} (id) values (1)")
    table.run("declare @c varbinary(128) = 0x03 with change_tracking_context (@c) insert into {t} (id) values (2)")  # fmt: skip
    assert table.changes(0, "sys_change_context") == [(1, b"\x01\x02"), (2, b"\x03")]


def test_a_later_statement_without_a_context_clears_it(table: TrackedTable) -> None:
    """Tried."""
    table.run("with change_tracking_context (0x01) insert into {t} (id) values (1)")
    table.run("update {t} set n = 1")
    assert table.changes(0, "sys_change_context") == [(1, None)]


# -- keys of other types
def test_a_key_of_several_columns_is_told_in_its_order(
    server: SqlServerProcess, schema: str, cursor: mssql_python.Cursor
) -> None:
    server.execute(
        f"create table {schema}.c (a int, b date not null, c uniqueidentifier not null, id int not null, constraint pk_{schema} primary key (c, b, id))"
    )
    server.execute(f"alter table {schema}.c enable change_tracking")
    server.execute(
        f"insert into {schema}.c values (1, '2026-02-03', '6F9619FF-8B86-D011-B42D-00C04FC964FF', 5)"
    )
    cursor.execute(f"select * from changetable(changes {schema}.c, null) as x")
    names = [column[0] for column in cursor.description or ()]
    assert names == [
        "SYS_CHANGE_VERSION", "SYS_CHANGE_CREATION_VERSION", "SYS_CHANGE_OPERATION", "SYS_CHANGE_COLUMNS", "SYS_CHANGE_CONTEXT", "c", "b", "id",
    ]  # fmt: skip
    (row,) = cursor.fetchall()
    assert [str(value).upper() for value in row[5:]] == [
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "2026-02-03",
        "5",
    ]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("nvarchar(20)", "N'Ä,''\"[]{{}}'", "Ä,'\"[]{}"),
        ("decimal(19,4)", "-12.3400", "-12.3400"),
        ("datetime2(7)", "'2026-01-02T03:04:05.1234567'", "2026-01-02 03:04:05.1234567"),
        ("datetime", "'2026-01-02T03:04:05.997'", "2026-01-02 03:04:05.997"),
        ("varbinary(8)", "0x00FF27", "0x00FF27"),
        ("float", "1e-7", "1e-007"),
        ("bit", "1", "1"),
        ("time(3)", "'03:04:05.123'", "03:04:05.123"),
    ],
)
def test_a_key_of_any_type_comes_back_as_it_is(
    server: SqlServerProcess,
    schema: str,
    cursor: mssql_python.Cursor,
    kind: str,
    value: str,
    shown: str,
) -> None:
    server.execute(f"create table {schema}.k (k {kind} not null primary key, n int)")
    server.execute(f"alter table {schema}.k enable change_tracking")
    server.execute(
        f"insert into {schema}.k values ({value.replace('{{', '{').replace('}}', '}')}, 1)"
    )
    style = ", 1" if kind.startswith("varbinary") else ", 121" if "date" in kind else ""
    cursor.execute(
        f"select convert(varchar(60), c.k{style}), t.n from changetable(changes {schema}.k, null) as c left join {schema}.k t on t.k = c.k"
    )
    assert [tuple(row) for row in cursor.fetchall()] == [(shown, 1)]


def test_a_key_in_another_spelling_is_told_in_the_first_one(
    server: SqlServerProcess, schema: str, cursor: mssql_python.Cursor
) -> None:
    """Tried: where the collation takes two spellings for one key, the history goes on under the old one."""
    server.execute(f"create table {schema}.k (id nvarchar(20) not null primary key, n int)")
    server.execute(f"alter table {schema}.k enable change_tracking")
    server.execute(f"insert into {schema}.k values (N'Abc', 1)")
    since = cursor.execute("select change_tracking_current_version()").fetchval()
    server.execute(f"update {schema}.k set id = N'ABC'")
    told = cursor.execute(f"select id, sys_change_operation from changetable(changes {schema}.k, {since}) as c").fetchall()  # fmt: skip
    assert [tuple(row) for row in told] == [("Abc", "U")]


def test_merge_is_recorded_row_by_row(table: TrackedTable) -> None:
    """ "Generally, all operations that insert, update, or delete of data in user tables are tracked, including the MERGE statement." """
    table.run("insert into {t} (id, n) values (1, 10), (2, 20), (3, 30)")
    table.run("""merge {t} as t using (values (1, 11), (4, 40)) as s (id, n) on t.id = s.id when matched then update set n = s.n
        when not matched then insert (id, n) values (s.id, s.n) when not matched by source and t.id = 3 then delete;""")
    columns = f"sys_change_operation, {in_mask('n')}, {in_mask('s')}".format(t=table.name)
    assert table.changes(1, columns) == [(1, "U", 1, 0), (3, "D", 1, 1), (4, "I", 1, 1)]
    assert table.version() == 2


def test_a_bulk_load_is_recorded(table: TrackedTable) -> None:
    table.cursor.bulkcopy(table.name, [(1, 10), (2, 20)], column_mappings=["id", "n"])
    assert table.changes() == [(1, "I"), (2, "I")]
    assert table.version() == 1
