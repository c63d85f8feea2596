"""What Change Tracking refuses: number, level, state and text of each error.

Texts: docs/relational-databases/errors-events/database-engine-events-and-errors-*.md of MicrosoftDocs/sql-docs; states and those that come in
pairs were tried by another project on SQL Server 2025.
"""

from collections.abc import Callable, Iterator

import mssql_python
import pytest
from tests.integration.sqlserver_standin.conftest import PASSWORD
from tests.integration.sqlserver_standin.tracking.conftest import TrackedTable

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]


def refusal(server: SqlServerProcess, sql: str) -> tuple[int, int, int, str]:
    """Number, level, state and text of the error that a batch ends with."""
    with pytest.raises(SqlError) as refused:
        server.execute(sql)
    failure = refused.value
    return failure.number, failure.severity, failure.state, failure.message


@pytest.fixture
def database(server: SqlServerProcess) -> Iterator[SqlServerProcess]:
    """Another stand-in, whose database does not track."""
    with SqlServerProcess(password=PASSWORD) as running:
        yield running


ON = "alter database current set change_tracking = on"
DISABLED = (
    "Change tracking is disabled for database 'AdventureWorksDW'. Change tracking must be enabled on a database to modify change tracking "
    "settings."
)


def test_a_database_is_switched_on_and_off_once(database: SqlServerProcess) -> None:
    assert refusal(database, "alter database AdventureWorksDW set change_tracking = off") == (5089, 16, 1, DISABLED)  # fmt: skip
    assert refusal(database, "alter database [AdventureWorksDW] set change_tracking (auto_cleanup = off)") == (5089, 16, 2, DISABLED)  # fmt: skip
    database.execute(ON)
    already = (5088, 16, 1, "Change tracking is already enabled for database 'AdventureWorksDW'.")
    assert refusal(database, ON) == already
    assert refusal(database, f"{ON} (auto_cleanup = off)") == already
    database.execute("create table dbo.t (id int primary key); alter table dbo.t enable change_tracking")  # fmt: skip
    assert refusal(database, "alter database current set change_tracking = off") == (
        22115, 16, 1,
        "Change tracking is enabled for one or more tables in database 'AdventureWorksDW'. Disable change tracking on each table before disabling "
        "it for the database. Use the sys.change_tracking_tables catalog view to obtain a list of tables for which change tracking is enabled.",
    )  # fmt: skip
    database.execute("insert into dbo.t values (1); alter table dbo.t disable change_tracking")
    database.execute("alter database current set change_tracking = off")
    database.execute(ON)


@pytest.mark.parametrize("name", ["master", "tempdb", "model", "msdb"])
def test_a_system_database_is_not_tracked(server: SqlServerProcess, name: str) -> None:
    text = f"Database '{name}' is a system database. Change tracking settings cannot be modified for system databases."
    assert refusal(server, f"alter database {name} set change_tracking = on") == (5090, 16, 1, text)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("(change_retention = 1 day)", (155, 15, 2, "'day' is not a recognized CHANGE RETENTION UNIT option.")),
        ("(change_retention = 0 days)", (5092, 15, 1, "The value for change tracking option 'CHANGE_RETENTION' is not valid. The value must be between 1 and 2147483647 minutes.")),
        ("(change_retention = 1491309 days)", (5092, 15, 1, "The value for change tracking option 'CHANGE_RETENTION' is not valid. The value must be between 1 and 2147483647 minutes.")),
        ("(auto_cleanup = on, auto_cleanup = on)", (5091, 15, 1, "ALTER DATABASE change tracking option 'AUTO_CLEANUP' was specified more than once. Each option can be specified only once.")),
        ("(auto_cleanup = on), allow_snapshot_isolation on", (22114, 16, 1, "Change tracking options for ALTER DATABASE cannot be combined with other ALTER DATABASE options.")),
        ("(change_retention = days)", (102, 15, 1, "Incorrect syntax near 'days'.")),
    ],
)  # fmt: skip
def test_options_have_to_be_right(
    server: SqlServerProcess, options: str, expected: tuple[int, int, int, str]
) -> None:
    assert refusal(server, f"alter database current set change_tracking {options}") == expected


def test_options_are_kept_and_shown(database: SqlServerProcess) -> None:
    """docs/relational-databases/system-catalog-views/change-tracking-catalog-views-sys-change-tracking-databases.md"""
    sql = "select is_auto_cleanup_on, retention_period, retention_period_units, retention_period_units_desc from sys.change_tracking_databases where database_id = db_id()"  # fmt: skip
    connection = mssql_python.connect(database.odbc(), autocommit=True)

    def shown() -> list[tuple]:
        return [tuple(row) for row in connection.cursor().execute(sql).fetchall()]

    assert shown() == []
    assert (
        connection.cursor().execute("select change_tracking_current_version()").fetchval() is None
    )
    database.execute(ON)
    assert shown() == [(True, 2, 3, "DAYS")]
    assert connection.cursor().execute("select change_tracking_current_version()").fetchval() == 0
    database.execute("alter database current set change_tracking (change_retention = 90 minutes)")
    assert shown() == [(True, 90, 1, "MINUTES")]
    database.execute("alter database current set change_tracking (auto_cleanup = off, change_retention = 5 hours)")  # fmt: skip
    assert shown() == [(False, 5, 2, "HOURS")]
    connection.close()


def test_alter_database_is_for_outside_of_transactions(server: SqlServerProcess) -> None:
    assert refusal(server, f"begin transaction; {ON}")[0] == 226


def test_a_table_needs_the_database_first(database: SqlServerProcess) -> None:
    database.execute("create table dbo.t (id int primary key)")
    assert refusal(database, "alter table dbo.t enable change_tracking") == (
        1718, 16, 1, "Change tracking must be enabled on database 'AdventureWorksDW' before it can be enabled on table 't'."
    )  # fmt: skip
    assert refusal(database, "select * from changetable(changes dbo.t, 0) as c")[0] == 22105


def test_a_table_is_switched_on_and_off_once(table: TrackedTable) -> None:
    assert refusal(table.server, f"alter table {table.name} enable change_tracking") == (
        4996, 16, 1, "Change tracking is already enabled for table 't'."
    )  # fmt: skip
    table.run("alter table {t} disable change_tracking")
    assert refusal(table.server, f"alter table {table.name} disable change_tracking") == (
        4998, 16, 1, "Change tracking is not enabled on table 't'."
    )  # fmt: skip


def test_a_table_needs_a_primary_key(server: SqlServerProcess, schema: str) -> None:
    server.execute(f"create table {schema}.h (id int not null unique)")
    assert refusal(server, f"alter table {schema}.h enable change_tracking") == (
        4997, 16, 1,
        "Cannot enable change tracking on table 'h'. Change tracking requires a primary key on the table. Create a primary key on the table before "
        "enabling change tracking.",
    )  # fmt: skip


def test_the_primary_key_stays(server: SqlServerProcess, schema: str) -> None:
    server.execute(f"create table {schema}.k (id int, constraint pk_{schema} primary key (id))")
    server.execute(f"alter table {schema}.k enable change_tracking")
    assert refusal(server, f"alter table {schema}.k drop constraint pk_{schema}") == (
        3735, 16, 1,
        f"The primary key constraint 'pk_{schema}' on table 'k' cannot be dropped because change tracking is enabled on the table. Change tracking "
        "requires a primary key constraint on the table. Disable change tracking before dropping the constraint.",
    )  # fmt: skip
    server.execute(f"alter table {schema}.k disable change_tracking")
    server.execute(f"alter table {schema}.k drop constraint pk_{schema}")


def test_partitions_are_not_switched(table: TrackedTable) -> None:
    assert refusal(table.server, f"alter table {table.name} switch to dbo.other")[0] == 4900


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("changes {t}, 0)", (22104, 16, 1, "A table returned by the CHANGETABLE function must be aliased.")),
        ("version {t}, (id), (1))", (22104, 16, 1, "A table returned by the CHANGETABLE function must be aliased.")),
        ("changes sys.tables, 0) as c", (22107, 16, 1, "Object 'sys.tables' is of a data type that is not supported by the CHANGETABLE function. The object must be a user-defined table.")),
        ("changes #t, 0) as c", (22107, 16, 1, "Object '#t' is of a data type that is not supported by the CHANGETABLE function. The object must be a user-defined table.")),
        ("changes dbo.nothing, 0) as c", (208, 16, 1, "Invalid object name 'dbo.nothing'.")),
        ("changes {t}, 1 + 1) as c", (102, 15, 1, "Incorrect syntax near '1 + 1'.")),
        ("version {t}, (id), (1, 2)) as c", (22103, 16, 1, "The arguments supplied are not valid for the VERSION option of the CHANGETABLE function.")),
        ("version {t}, (n), (1)) as c", (22111, 16, 1, "The column 'n' specified in the CHANGETABLE(VERSION ...) function is not part of the primary key for table 't'.")),
        ("version {t}, (id, id), (1, 1)) as c", (22112, 16, 1, "Each primary key column must be specified once in the CHANGETABLE(VERSION ...) function. The column 'id' is specified more than once.")),
    ],
)  # fmt: skip
def test_changetable_refuses(
    table: TrackedTable, call: str, expected: tuple[int, int, int, str]
) -> None:
    text = f"select * from changetable({call.format(t=table.name)}"
    assert refusal(table.server, text) == expected


def test_changetable_wants_all_columns_of_the_key(server: SqlServerProcess, schema: str) -> None:
    server.execute(f"create table {schema}.k (a int, b int, primary key (a, b))")
    server.execute(f"alter table {schema}.k enable change_tracking")
    assert refusal(server, f"select * from changetable(version {schema}.k, (a), (1)) as c") == (
        22110, 16, 1,
        "The number of columns specified in the CHANGETABLE(VERSION ...) function does not match the number of primary key columns for table 'k'.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("with change_tracking_context (0x01) select * from {t}", 22108),
        ("declare @c int = 1 with change_tracking_context (@c) insert into {t} (id) values (1)", 22109),
        ("declare @c varbinary(200) = 0x01 with change_tracking_context (@c) insert into {t} (id) values (1)", 22109),
    ],
)  # fmt: skip
def test_a_context_is_bytes_for_a_change(table: TrackedTable, statement: str, number: int) -> None:
    assert refusal(table.server, statement.format(t=table.name))[0] == number


@pytest.mark.parametrize("place", ["{t}", "object::{t}", "schema::{s}"])
def test_who_may_not_view_changes_gets_null_and_229(
    table: TrackedTable, schema: str, place: str
) -> None:
    """docs/relational-databases/track-changes/manage-change-tracking-sql-server.md, "Security"."""
    place = place.format(t=table.name, s=schema)
    lowest = "select change_tracking_min_valid_version(object_id('{t}'))"
    right = "select has_perms_by_name('{t}', 'OBJECT', 'VIEW CHANGE TRACKING')"
    assert (table.value(lowest), table.value(right)) == (table.start, 1)
    table.run(f"deny view change tracking on {place} to sa")
    assert (table.value(lowest), table.value(right)) == (None, 0)
    assert refusal(table.server, f"select * from changetable(changes {table.name}, 0) as c") == (
        229, 14, 5,
        f"The VIEW CHANGE TRACKING permission was denied on the object 't', database 'AdventureWorksDW', schema '{schema}'.",
    )  # fmt: skip
    assert table.value("select count(*) from {t}") == 0
    table.run(f"grant view change tracking on {place} to sa")
    assert (table.value(lowest), table.value(right), table.changes()) == (table.start, 1, [])


def test_the_commit_table_is_for_who_may_view_the_state(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    server.restrict(denied=["VIEW DATABASE STATE"])
    try:
        assert refusal(server, "select * from sys.dm_tran_commit_table")[:3] == (262, 14, 1)
    finally:
        server.restrict(denied=[])


def test_an_id_of_no_tracked_table_has_no_lowest_version(table: TrackedTable) -> None:
    assert table.value("select change_tracking_min_valid_version(1)") is None
    assert table.value("select change_tracking_min_valid_version(null)") is None


# -- ways to call
def test_a_version_is_a_number_a_variable_or_a_parameter(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    cursor = table.cursor
    for version, expected in ((table.start, [1]), (table.start + 1, []), (None, [1])):
        sql = f"select id from changetable(changes {table.name}, ?) as c"
        assert [row[0] for row in cursor.execute(sql, version).fetchall()] == expected
        word = "null" if version is None else version
        sql = f"declare @v bigint = {word} select c.id from changetable(changes {table.name}, @v, forceseek) as c"
        assert [row[0] for row in cursor.execute(sql).fetchall()] == expected


def test_changetable_takes_names_for_its_columns(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    sql = "select k + 0 from changetable(changes {t}, null) as c (a, b, o, m, x, k) where c.o = 'I'"
    assert table.value(sql) == 1


def test_the_version_of_one_row_is_told(table: TrackedTable) -> None:
    table.run("with change_tracking_context (0x07) insert into {t} (id, n) values (1, 10)")
    table.run("insert into {t} (id, n) values (2, 20)")
    sql = f"select * from changetable(version {table.name}, (id), (1)) as c"
    rows = [tuple(row) for row in table.cursor.execute(sql).fetchall()]
    assert rows == [(table.start + 1, b"\x07", 1)]
    assert table.value("select count(*) from changetable(version {t}, (id), (9)) as c") == 0
    table.server.clean_up_changes(table.start + 1)
    sql = f"select t.id, c.sys_change_version from {table.name} as t cross apply changetable(version {table.name}, (id), (t.id)) as c order by t.id"
    rows = [tuple(row) for row in table.cursor.execute(sql).fetchall()]
    assert rows == [(1, None), (2, table.start + 2)]


def test_changes_are_joined_outward_to_their_rows(table: TrackedTable) -> None:
    table.run("insert into {t} (id, n) values (1, 10), (2, 20)")
    table.run("delete from {t} where id = 1; update {t} set n = 21 where id = 2")
    sql = f"""select c.id, c.sys_change_operation, t.n from {table.name} as t
        right outer join changetable(changes {table.name}, {table.start + 1}) as c on t.id = c.id order by c.id"""
    rows = [tuple(row) for row in table.cursor.execute(sql).fetchall()]
    assert rows == [(1, "D", None), (2, "U", 21)]


def test_the_right_is_told_of_each_table_of_a_query(table: TrackedTable, schema: str) -> None:
    table.run(f"create table {schema}.u (id int primary key)")
    table.run(f"deny view change tracking on {schema}.u to public")
    sql = f"""select o.name, has_perms_by_name(s.name + '.' + o.name, 'OBJECT', 'VIEW CHANGE TRACKING'),
        change_tracking_min_valid_version(object_id(s.name + '.' + o.name))
        from sys.tables o join sys.schemas s on s.schema_id = o.schema_id where s.name = '{schema}' order by o.name"""
    rows = [tuple(row) for row in table.cursor.execute(sql).fetchall()]
    assert rows == [("t", 1, table.start), ("u", 0, None)]
