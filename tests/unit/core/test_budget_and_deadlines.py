"""One time for everything that repeats, and an end for everything that waits."""

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.budget import RetryBudget, current_budget, duration, retry_budget
from tranship.deadlines import within


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_time_begins_with_the_first_fault_and_not_with_the_load():
    clock = Clock()
    budget = RetryBudget(600, clock=clock)
    clock.now += 7200  # two hours of loading
    assert (budget.left, budget.is_over) == (600, False)
    budget.note_fault()
    clock.now += 400
    budget.note_fault()
    assert budget.left == 200
    clock.now += 200
    assert budget.is_over


@given(st.lists(st.floats(-10_000, 10_000), max_size=20))
def test_a_clock_that_jumps_never_makes_the_time_longer(jumps: list[float]):
    clock = Clock()
    budget = RetryBudget(600, clock=clock)
    budget.note_fault()
    for jump in jumps:
        clock.now += jump
        assert 0 <= budget.left <= 600


def test_a_try_in_another_process_goes_on_with_what_is_left():
    clock = Clock()
    later = RetryBudget(600, first_fault=clock.now - 500, earlier_tries=2, clock=clock)
    assert later.left == 100
    assert str(later) == "100 s of 10 min are left"


def test_the_budget_is_that_of_the_block():
    assert current_budget() is None
    with retry_budget(RetryBudget(1)) as outer:
        with retry_budget(RetryBudget(2)) as inner:
            assert current_budget() is inner
        assert current_budget() is outer
    assert current_budget() is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (1710, "28.5 min")]
)
def test_a_time_is_said_as_people_say_it(seconds: float, text: str):
    assert duration(seconds) == text


def test_what_takes_too_long_is_cut_short():
    cut = threading.Event()
    with within(0.05, cut.set) as deadline:
        assert cut.wait(5)
    assert deadline.passed


def test_what_ends_in_time_is_left_alone():
    with within(0.5, lambda: pytest.fail("it was in time")) as deadline:
        pass
    time.sleep(0.7)
    assert not deadline.passed


def test_the_time_stands_still_while_somebody_else_is_waited_for():
    with within(0.5, lambda: pytest.fail("nobody waited for the peer")) as deadline:
        deadline.stop()
        time.sleep(0.7)
        deadline.start()
    assert not deadline.passed


def test_no_time_at_all_is_no_end():
    with within(0, lambda: pytest.fail("there was no end")):
        time.sleep(0.05)


def test_many_deadlines_are_watched_by_one_thread_and_each_ends_its_own():
    cut: list[int] = []
    before = threading.active_count()
    with within(0.3, lambda: cut.append(300)), within(60, lambda: cut.append(60_000)):
        with within(0.05, lambda: cut.append(50)):
            while not cut:
                time.sleep(0.01)
        assert threading.active_count() <= before + 1
        while len(cut) < 2:
            time.sleep(0.01)
    assert cut == [50, 300]


def test_a_child_that_was_forked_has_deadlines_too():
    with within(60, lambda: None):  # the thread runs
        child = os.fork()
        if child == 0:
            late = threading.Event()
            with within(0.05, late.set):
                os._exit(0 if late.wait(5) else 1)
        assert os.waitpid(child, 0)[1] == 0
