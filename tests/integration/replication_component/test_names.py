"""A table of any name goes all the way: from the component to a run, a copy, its bookmark, and a reader of it."""

from collections.abc import Callable
from typing import Any

import dagster as dg
from awkward_names import AWKWARD, entry

from tranship.names import shortened
from tranship.postgres.io_manager import PostgresIOManager
from tranship.postgres.resource import PostgresResource
from tranship.replication.postgres_target import PostgresTarget
from tranship.tables import TableName


def test_tables_of_any_names_are_loaded_checked_bookmarked_and_read_back(
    replication: Any,
    awkward: Callable[[str], TableName],
    copied: Callable[[str], list[tuple]],
    postgres: PostgresResource,
) -> None:
    tables = [awkward(name) for name in AWKWARD]
    replication.of(
        *(entry(table, mode="merge", cursor="At", delete="remove") for table in tables),
        io_manager_key="warehouse",
    )
    keys = [asset.key for asset in replication.assets]

    @dg.asset(ins={f"table_{i}": dg.AssetIn(key) for i, key in enumerate(keys)})
    def read(**inputs: Any) -> None:
        assert [table.num_rows for table in inputs.values()] == [3] * len(keys)

    replication.resources["warehouse"] = PostgresIOManager(
        postgres=postgres, schema="somewhere_else"
    )
    for _ in range(2):
        result = replication.run(more=(read,))
        assert result.success, [
            event.step_failure_data.error_display_string
            for event in result.all_events
            if event.is_step_failure
        ]
    target = PostgresTarget(postgres.settings())
    for table in tables:
        copy = TableName(replication.schema, shortened(table.name, 63))
        quoted = copy.name.replace('"', '""')
        assert copied(f'select count(*) from {{schema}}."{quoted}"') == [(3,)], table
        bookmark = target.bookmark(copy)
        assert bookmark is not None
        assert (bookmark.table, bookmark.cursor_value) == (copy, "3")
    with target.transaction("looking") as cursor:
        kept = target.bookmarks(TableName(replication.schema, "")).read_all(cursor)
    assert {bookmark.table.name for bookmark in kept} == {
        shortened(table.name, 63) for table in tables
    }
