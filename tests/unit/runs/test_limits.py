"""Limits of a run: tag before code location before default, never above the ceiling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.runs.limits import Limits, RunLimitError, limits_of_run

CEILING = Limits(memory_bytes=4 << 30, nano_cpus=2_000_000_000, pids=512)


def test_the_tag_wins_over_the_code_location_and_that_over_the_default():
    default = Limits(1 << 30, 1_000_000_000, 100)
    arguments = {"mem_limit": "2g", "pids_limit": 200, "nano_cpus": 1_500_000_000}
    assert limits_of_run({}, {}, default, CEILING) == default
    assert limits_of_run({}, arguments, default, CEILING) == Limits(2 << 30, 1_500_000_000, 200)
    assert (
        limits_of_run({"tranship/memory": "3g"}, arguments, default, CEILING).memory_bytes
        == 3 << 30
    )


def test_without_a_default_the_ceiling_is_the_limit():
    assert limits_of_run({}, {}, Limits(), CEILING) == CEILING
    assert limits_of_run({}, {}, Limits(), Limits()).container_arguments() == {}


@pytest.mark.parametrize(
    ("tag", "value", "told"),
    [
        ("tranship/memory", "5g", "memory 5 GiB (the tag tranship/memory); the ceiling of this deployment is 4 GiB"),
        ("tranship/cpus", "2.5", "CPUs 2.5 (the tag tranship/cpus); the ceiling of this deployment is 2"),
        ("tranship/pids", "513", "processes 513 (the tag tranship/pids); the ceiling of this deployment is 512"),
        ("tranship/memory", "lots", "the tag tranship/memory is 'lots', which is no amount of memory"),
        ("tranship/memory", "1k", "the tag tranship/memory is '1k', which is no amount of memory"),
        ("tranship/memory", "-1", "no amount of memory"),
        ("tranship/cpus", "nan", "no amount of CPUs"),
        ("tranship/cpus", "inf", "no amount of CPUs"),
        ("tranship/cpus", "0", "no amount of CPUs"),
        ("tranship/pids", "1e3", "no amount of processes"),
        ("tranship/pids", "0", "no amount of processes"),
    ],
)  # fmt: skip
def test_too_much_and_no_amount_are_refused_in_words(tag: str, value: str, told: str):
    with pytest.raises(RunLimitError) as failure:
        limits_of_run({tag: value}, {}, Limits(), CEILING)
    assert told in str(failure.value)


@given(
    tags=st.fixed_dictionaries(
        {},
        optional={
            "tranship/memory": st.text(max_size=6) | st.integers().map(lambda n: f"{n}g"),
            "tranship/cpus": st.text(max_size=6) | st.floats().map(str),
            "tranship/pids": st.text(max_size=6) | st.integers().map(str),
        },
    )
)
def test_no_tag_leads_above_the_ceiling(tags: dict[str, str]):
    try:
        found = limits_of_run(tags, {}, Limits(), CEILING)
    except RunLimitError:
        return
    assert 0 < (found.memory_bytes or 0) <= 4 << 30
    assert 0 < (found.nano_cpus or 0) <= 2_000_000_000
    assert 0 < (found.pids or 0) <= 512
