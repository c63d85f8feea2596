"""A table of any name goes all the way: from the component to a run, a copy, its bookmark, and a reader of it."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from awkward_names import AWKWARD, entry

from tranship.names import shortened
from tranship.postgres.io_manager import PostgresIOManager
from tranship.postgres.resource import PostgresResource
from tranship.postgres.target import PostgresTarget
from tranship.tables import TableName


@pytest.mark.parametrize("name", AWKWARD)
def test_a_table_of_any_name_is_loaded_checked_bookmarked_and_read_back(
    name: str,
    replication: Any,
    awkward: Callable[[str], TableName],
    copied: Callable[[str], list[tuple]],
    postgres: PostgresResource,
) -> None:
    table = awkward(name)
    replication.of(
        entry(table, mode="merge", cursor="At", delete="remove"), io_manager_key="warehouse"
    )
    replication.resources["warehouse"] = PostgresIOManager(
        postgres=postgres, schema="somewhere_else"
    )

    @dg.asset(ins={"rows": dg.AssetIn(replication.assets[0].key)})
    def read(rows: pa.Table) -> None:
        assert rows.num_rows == 3

    for _ in range(2):
        assert replication.run(more=(read,)).success
    target = PostgresTarget(postgres.settings())
    copy = TableName(replication.schema, shortened(table.name, 63))
    quoted = copy.name.replace('"', '""')
    assert copied(f'select count(*) from {{schema}}."{quoted}"') == [(3,)]
    with target.transaction("looking") as cursor:
        (bookmark,) = target.bookmarks(copy).read_all(cursor)
    assert (bookmark.table, bookmark.cursor_value) == (copy, "3")
    assert target.bookmark(copy) == bookmark
