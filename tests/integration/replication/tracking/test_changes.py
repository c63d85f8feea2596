"""Loads by SQL Server's Change Tracking: the copy is the source's, deletions too."""

from collections.abc import Callable

import pytest
from tests.integration.replication.conftest import Replica

CHANGES = {
    "insert": ("insert into {table} (id, name, amount) values (50, N'new', 1)",),
    "update": ("update {table} set name = N'x' where id = 3",),
    "update that changes nothing": ("update {table} set name = name where id = 3",),
    "delete": ("delete from {table} where id in (2, 4)",),
    "delete and insert again": (
        "delete from {table} where id = 2",
        "insert into {table} (id, name, amount) values (2, N'again', 2)",
    ),
    "insert and delete": (
        "insert into {table} (id, name, amount) values (60, N'short', 1)",
        "delete from {table} where id = 60",
    ),
    "two keys swapped": (
        "update {table} set id = 1000 where id = 1",
        "update {table} set id = 1 where id = 2",
        "update {table} set id = 2 where id = 1000",
    ),
    "a key moved": ("update {table} set id = 70 where id = 5",),
    "a key set to itself": ("update {table} set id = id where id = 5",),
    "all at once": (
        "begin transaction; delete from {table} where id = 1; update {table} set amount = 9 where id = 2; "
        "insert into {table} (id, name, amount) values (80, null, 1); commit",
    ),
    "nothing": (),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_in_the_copy(copy: Callable[..., Replica], change: str) -> None:
    made = copy()
    made.origin.add(*range(1, 21))
    made.load()
    made.origin.run(*CHANGES[change])
    report = made.load()
    made.assert_equal()
    assert report.rows <= 3
    assert report.what.startswith(f"{report.rows} rows that changed since version ")


def test_a_quiet_table_follows_the_versions_of_busy_ones(
    copy: Callable[..., Replica], tracked: Callable[..., object]
) -> None:
    made, busy = copy(), copy()
    made.origin.add(1, 2)
    made.load()
    assert made.bookmark is not None
    before = made.bookmark.cursor_value
    busy.origin.add(*range(1, 10))
    assert made.load().rows == 0
    assert made.bookmark is not None
    assert int(made.bookmark.cursor_value or 0) > int(before or 0)
