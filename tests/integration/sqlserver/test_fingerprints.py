"""A table's fingerprint changes with every value of every type, and comes back with it."""

from collections.abc import Callable
from typing import Any

import pytest

from tranship.sqlserver.fingerprints import fingerprint, fingerprints, row_hashes
from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import Column, SourceType, TableName, TableSchema

VALUES = {
    "int": ("1", "-1"),
    "tinyint": ("0", "null"),
    "bit": ("0", "1"),
    "decimal(10, 3)": ("1.5", "-1.5"),
    "money": ("1.0001", "1.0002"),
    "float": ("0.1", "0.10000000000000002"),
    "real": ("1.0000001", "1.0000002"),
    "nvarchar(20)": ("N'abc'", "N'ABC'"),
    "varchar(20)": ("'a'", "'a '"),
    "nchar(4)": ("N'é'", "N'e'"),
    "nvarchar(max)": ("N''", "null"),
    "varbinary(8)": ("0x00", "0x0000"),
    "varbinary(max)": ("0x01", "0x02"),
    "text": ("'one'", "'two'"),
    "ntext": ("N'one'", "N'two'"),
    "image": ("0x0102", "0x0103"),
    "xml": ("N'<a/>'", "N'<b/>'"),
    "date": ("'2024-01-31'", "'0001-01-01'"),
    "datetime": ("'2024-01-31T10:00:00.003'", "'2024-01-31T10:00:00.007'"),
    "datetime2(6)": ("'2024-01-31T10:00:00.000001'", "'2024-01-31T10:00:00.000002'"),
    "datetimeoffset(3)": ("'2024-01-31T10:00:00+00:00'", "'2024-01-31T11:00:00+01:00'"),
    "time(3)": ("'10:00:00.001'", "'10:00:00.002'"),
    "uniqueidentifier": (
        "'5f0c63e1-b7a0-4d21-9c0e-1d2b3a4f5e60'",
        "'5f0c63e1-b7a0-4d21-9c0e-1d2b3a4f5e61'",
    ),
}


@pytest.fixture
def settings(sqlserver_url: str) -> SqlServerSettings:
    return SqlServerSettings.from_url(sqlserver_url)


@pytest.fixture
def execute(connect_to_source: Callable[..., Any]) -> Callable[[str], Any]:
    return connect_to_source(autocommit=True).cursor().execute


def test_a_change_of_any_type_is_seen_and_so_is_the_way_back(
    settings: SqlServerSettings, source_table: Callable[..., str], execute: Callable[[str], Any]
) -> None:
    """Two rows that change alike too, which cancel out in a checksum."""
    names = {kind: f"c{number}" for number, kind in enumerate(VALUES)}
    columns = ", ".join(f"{name} {kind}" for kind, name in names.items())
    first = ", ".join(one for one, _ in VALUES.values())
    table = TableName(
        "dbo",
        source_table(
            f"create table {{table}} (id int primary key, {columns})",
            f"insert into {{table}} values (1, {first})",
            f"insert into {{table}} values (2, {first})",
        ),
    )
    before = fingerprint(settings, table)
    unseen = []
    for kind, (one, other) in VALUES.items():
        execute(f"update {table} set {names[kind]} = {other}")
        if fingerprint(settings, table) == before:
            unseen.append(kind)
        execute(f"update {table} set {names[kind]} = {one}")
        assert fingerprint(settings, table) == before, kind

    assert unseen == []


def test_values_that_change_places_are_seen(
    settings: SqlServerSettings, source_table: Callable[..., str], execute: Callable[[str], Any]
) -> None:
    table = TableName(
        "dbo",
        source_table(
            "create table {table} (id int primary key, a nvarchar(9), b nvarchar(9))",
            "insert into {table} values (1, N'x', null), (2, N'', N'y')",
        ),
    )
    seen = {fingerprint(settings, table)}
    for statement in (
        "set a = null, b = N'x' where id = 1",
        "set a = N'y', b = N'' where id = 2",
        "set a = null where id = 2",
    ):
        execute(f"update {table} {statement}")
        seen.add(fingerprint(settings, table))

    assert len(seen) == 4


@pytest.mark.source_can("min_active_rowversion")
def test_a_row_that_is_committed_behind_versions_seen_before_is_seen(
    settings: SqlServerSettings, source_table: Callable[..., str], connect_to_source: Any
) -> None:
    table = TableName(
        "dbo",
        source_table(
            "create table {table} (id int primary key, n int, version rowversion)",
            "insert into {table} (id, n) values (1, 0), (2, 0)",
        ),
    )
    late, quick = connect_to_source(autocommit=False), connect_to_source(autocommit=True)
    late.cursor().execute(f"update {table} set n = 1 where id = 1")
    quick.cursor().execute(f"update {table} set n = 1 where id = 2")
    meanwhile = fingerprint(settings, table)
    late.commit()

    assert fingerprint(settings, table) != meanwhile


def test_a_table_that_is_created_anew_has_another_fingerprint(
    settings: SqlServerSettings, source_table: Callable[..., str], execute: Callable[[str], Any]
) -> None:
    table = TableName("dbo", source_table("create table {table} (id int)"))
    before = fingerprint(settings, table)
    execute(f"drop table {table}")
    execute(f"create table {table} (id int)")

    assert fingerprint(settings, table) != before


def test_a_table_that_is_gone_does_not_stand_in_the_way_of_the_others(
    settings: SqlServerSettings, source_table: Callable[..., str]
) -> None:
    table = TableName("dbo", source_table("create table {table} (id int)"))

    marks, refused = fingerprints(settings, [TableName("dbo", "NotThere"), table])

    assert list(marks) == [table]
    assert "There is no table dbo.NotThere" in str(refused[TableName("dbo", "NotThere")])


@pytest.mark.parametrize("count", [1, 100, 101, 1024])
def test_no_call_takes_more_arguments_than_the_server_allows(count: int) -> None:
    columns = tuple(Column(f"c{n}", None, True, SourceType("int")) for n in range(count))  # type: ignore[arg-type]

    statement = row_hashes(TableName("dbo", "wide"), TableSchema(columns)).sql

    deepest: list[int] = []
    counts: list[int] = []
    for position, sign in enumerate(statement):
        if sign == "(":
            deepest.append(1 if statement[:position].endswith("concat") else -(10**9))
        elif sign == "," and deepest:
            deepest[-1] += 1
        elif sign == ")":
            counts.append(deepest.pop())
    assert 2 <= max(counts) <= 254
