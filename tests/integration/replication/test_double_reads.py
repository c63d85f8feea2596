"""A row that one read shows twice, where the source keeps no versions of rows: a passing fault, read once more in order."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.integration.replication.conftest import Origin, Place, of

from tranship.errors import DuplicateRowsError
from tranship.frames import Batches
from tranship.replication.plan import Mode
from tranship.sqlserver.source import SqlServerSource


class Doubling:
    """A source whose first reads show a row twice."""

    def __init__(self, patch: pytest.MonkeyPatch, *, times: int, has_versions: bool) -> None:
        self.in_order: list[bool] = []
        read = SqlServerSource.read

        def doubled(
            source: SqlServerSource, *columns: Any, in_order: bool = False, **more: Any
        ) -> Batches:
            batches = read(source, *columns, in_order=in_order, **more)
            self.in_order.append(in_order)
            if len(self.in_order) > times:
                return batches
            rows = batches.to_table()
            return Batches.of(pa.concat_tables([rows, rows.slice(0, 1)]).combine_chunks())

        patch.setattr(SqlServerSource, "read", doubled)
        patch.setattr(SqlServerSource, "sees_one_moment", lambda _: has_versions)


@pytest.fixture
def doubling(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Doubling]:
    def arm(times: int, *, has_versions: bool = False) -> Doubling:
        return Doubling(monkeypatch, times=times, has_versions=has_versions)

    return arm


modes = pytest.mark.parametrize("mode", [Mode.REPLACE, Mode.MERGE])


@modes
def test_a_row_that_comes_twice_once_is_read_again_in_order(
    origin: Callable[..., Origin], place: Place, doubling: Callable[..., Doubling], mode: Mode
) -> None:
    made = of(origin(), place, mode=mode)
    made.origin.add(1, 2, 3)
    source = doubling(1)
    made.load()
    assert source.in_order == [False, True]
    made.assert_equal()


@modes
def test_a_row_that_comes_twice_again_is_refused_with_what_to_switch_on(
    origin: Callable[..., Origin], place: Place, doubling: Callable[..., Doubling], mode: Mode
) -> None:
    made = of(origin(), place, mode=mode)
    made.origin.add(1, 2, 3)
    made.load()
    doubling(2)
    with pytest.raises(DuplicateRowsError) as caught:
        made.load()
    assert "alter database current set allow_snapshot_isolation on" in str(caught.value)
    made.assert_equal()


def test_rows_that_are_double_at_one_moment_are_not_read_again(
    origin: Callable[..., Origin], postgres: Place, doubling: Callable[..., Doubling]
) -> None:
    made = of(origin(), postgres, mode=Mode.MERGE)
    made.origin.add(1, 2, 3)
    source = doubling(9, has_versions=True)
    with pytest.raises(DuplicateRowsError) as caught:
        made.load()
    assert source.in_order == [False]
    assert "snapshot" not in str(caught.value)
