"""Keys that are several in the source and would be one in the copy: refused before the first row is written."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.errors import KeyNotComparableError
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import Mode

READINGS = """
    create table {table} (
        code nvarchar(20) not null, at datetime2(7) not null, ratio float not null, note nvarchar(20), changed int not null,
        primary key (code, at, ratio)
    )
"""
BY_CHANGE: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed", "lookback": 0}
FIRST = "(N'abcde', '2024-01-01 10:00:00.1', 0.1, N'a', 1)"


@pytest.mark.parametrize(
    ("cast", "other"),
    [
        ({"code": "nvarchar(4)"}, "(N'abcdx', '2024-01-01 10:00:00.1', 0.1, N'b', 2)"),
        ({"at": "date"}, "(N'abcde', '2024-01-01 11:00:00', 0.1, N'b', 2)"),
        ({"at": "datetime2(0)"}, "(N'abcde', '2024-01-01 10:00:00.2', 0.1, N'b', 2)"),
        ({"ratio": "real"}, "(N'abcde', '2024-01-01 10:00:00.1', 0.1000000001, N'b', 2)"),
    ],
    ids=lambda value: str(*value.values()) if isinstance(value, dict) else "",
)
def test_keys_that_a_cast_makes_one_are_refused_before_a_row_is_written(
    origin: Callable[..., Origin], place: Place, cast: dict[str, str], other: str
) -> None:
    made = of(origin(READINGS), place, **BY_CHANGE, columns=ColumnSettings(cast=cast))
    made.origin.run(f"insert into {{table}} values {FIRST}")
    made.load()
    # The copy has one of them, and cannot tell that the other one is another row.
    made.origin.run(f"insert into {{table}} values {other}")
    with pytest.raises(KeyNotComparableError) as caught:
        made.load()
    ((column, type_),) = cast.items()
    said = str(caught.value)
    assert said.startswith(f"2 keys of {made.plan.source} would become one in the copy, because ")
    assert f'"{column}", which is ' in said
    assert f"and cast to {type_}" in said
    assert f'Cast "{column}" to a type that has room for all of it' in said
    assert made.copied("note") == [("a",)]


def test_a_first_load_with_such_keys_leaves_no_table(
    origin: Callable[..., Origin], place: Place
) -> None:
    columns = ColumnSettings(cast={"at": "date"})
    made = of(origin(READINGS), place, **BY_CHANGE, chunk_rows=1, columns=columns)
    made.origin.run(
        f"insert into {{table}} values {FIRST}, (N'abcde', '2024-01-01 11:00:00', 0.1, N'b', 2)"
    )
    with pytest.raises(KeyNotComparableError):
        made.load()
    assert made.place.target.schema_of(made.plan.target) is None
    made.changed(columns=ColumnSettings(cast={"at": "nvarchar(100)"})).load()
    assert sorted(made.copied("note")) == [("a",), ("b",)]


def test_keys_with_seven_digits_are_asked_about_and_loaded_where_none_is_lost(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(READINGS), place, **BY_CHANGE)
    made.origin.run(
        f"insert into {{table}} values {FIRST}, (N'abcde', '2024-01-01 10:00:00.100001', 0.1, N'b', 2)"
    )
    made.load()
    made.assert_equal("code, note")


def test_keys_of_which_all_arrives_cost_no_question(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica(**BY_CHANGE | {"cursor": "id"})
    made.origin.add(1, 2)
    monkeypatch.setattr(
        "tranship.sqlserver.source.fetchable", lambda *_: pytest.fail("the source was asked")
    )
    made.load()
    made.assert_equal()
