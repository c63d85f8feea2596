"""What is asked of a source about keys of which less arrives than there is."""

import pyarrow as pa
import pytest

from tranship.sqlserver.shown_values import arriving, loss
from tranship.tables import Column, SourceType


def column(type_: str) -> Column:
    return Column("A t", pa.timestamp("us"), source_type=SourceType.parse(type_))


@pytest.mark.parametrize("type_", ["time(7)", "datetime2(7)", "datetimeoffset(7)"])
def test_seven_digits_are_cut_to_six_towards_the_past(type_: str) -> None:
    assert arriving(column(type_), None) == (
        "dateadd(nanosecond, -(datepart(nanosecond, [A t]) % 1000), [A t])"
    )
    assert (
        loss(column(type_), None)
        == f'"A t", which is {type_} and arrives without its seventh digit'
    )


@pytest.mark.parametrize(
    "type_", ["time(6)", "datetime2(3)", "datetime", "int", "float", "nvarchar(9)"]
)
def test_other_types_arrive_whole(type_: str) -> None:
    assert arriving(column(type_), None) is None


def test_a_cast_is_what_arrives_and_may_lose_its_digit_too() -> None:
    assert arriving(column("float"), "real") == "cast([A t] as real)"
    cast = "cast([A t] as datetime2(7))"
    assert arriving(column("datetimeoffset(3)"), "datetime2(7)") == (
        f"dateadd(nanosecond, -(datepart(nanosecond, {cast}) % 1000), {cast})"
    )
    assert loss(column("float"), "real") == '"A t", which is float and cast to real'
