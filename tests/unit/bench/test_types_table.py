import datetime as dt
import uuid
from decimal import Decimal

import pytest

from bench.types_table import CASES, outcome, same

BY_TYPE = {case.type: case for case in CASES}


def judged(type_: str, type_name: str, *found: object) -> tuple[str, str]:
    case = BY_TYPE[type_]
    return outcome(case, type_name, [*case.values, None], [*found, None])


def test_there_are_26_types_with_columns_of_their_own():
    assert len(CASES) == 26
    assert len({case.column for case in CASES}) == 26


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_a_type_is_exact_when_it_arrives_as_it_was(case):
    assert outcome(case, case.kept_as[0], [*case.values, None], [*case.values, None]) == (
        "exact",
        "",
    )


def test_a_flag_in_a_number_is_retyped():
    assert judged("bit", "smallint", 0, 1) == ("retyped", "smallint")


def test_money_that_lost_a_digit_is_changed_and_shown():
    low = -922337203685477.6
    assert judged("money", "double precision", low, -low) == (
        "changed",
        "-922337203685477.5808 became -922337203685477.6 (double precision)",
    )


def test_a_null_that_became_something_is_changed():
    case = BY_TYPE["int"]
    verdict, _ = outcome(case, "integer", [*case.values, None], [*case.values, 0])
    assert verdict == "changed"


def test_a_lost_zone_is_retyped_and_a_moved_instant_changed():
    case = BY_TYPE["datetimeoffset(6)"]
    naive = [value.replace(tzinfo=None) for value in case.values]
    assert judged(case.type, "timestamp", *naive) == ("retyped", "timestamp")
    late = [value + dt.timedelta(hours=1) for value in case.values]
    assert judged(case.type, "timestamptz", *late)[0] == "changed"


@pytest.mark.parametrize(
    ("sent", "found", "expected"),
    [
        (True, "true", True),
        (True, 0, False),
        (1, "1", True),
        (1, "one", False),
        (Decimal("1.10"), Decimal("1.1"), True),
        (Decimal("0.1"), 0.1, True),
        (0.1, 0.10000000149011612, True),  # a real, widened
        (0.1, 0.11, False),
        (1e308, float("inf"), False),
        ("a ", "a", False),
        (b"\x00", memoryview(b"\x00"), True),
        (b"\x00", "\\x00", False),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", True),
        (dt.date(2024, 2, 29), "2024-02-29T00:00:00", True),
        (dt.time(1), dt.time(1), True),
        (None, "", False),
        (None, None, True),
    ],
)
def test_whether_a_value_means_what_was_sent(sent: object, found: object, expected: bool):
    assert same(sent, found) is expected
