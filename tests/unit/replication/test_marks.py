"""When a table is asked for: as long as what is seen of it was not loaded, and never twice at once."""

from hypothesis import given
from hypothesis import strategies as st

from tranship.replication.changes_sensor import (
    LAUNCH_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Outcome,
    WatchedTable,
    as_cursor,
    from_cursor,
)

PAUSE = 60.0
MARKS = st.sampled_from(["a", "b"])


def asked(mark: str, at: float = 0.0, **known: object) -> WatchedTable:
    return WatchedTable(**known).asks("token", mark, at)  # type: ignore[arg-type]


def test_a_table_that_changes_back_is_asked_for_again() -> None:
    state = WatchedTable()
    for mark in ("a", "b", "a"):
        assert state.needs(mark)
        state = state.asks("token", mark, 0).settled(Outcome.LOADED, 1, PAUSE)
        assert not state.needs(mark)


def test_a_load_that_fails_leaves_the_mark_where_it_was() -> None:
    state = asked("b", seen="a").settled(Outcome.FAILED, 10, PAUSE)

    assert state.seen == "a"
    assert state.needs("b")
    assert not state.is_free(10 + PAUSE - 1)
    assert state.is_free(10 + PAUSE)


def test_the_pause_doubles_with_each_failure_up_to_an_hour() -> None:
    pauses = []
    state = WatchedTable()
    for _ in range(9):
        state = state.asks("token", "b", 0).settled(Outcome.FAILED, 0, PAUSE)
        pauses.append(state.not_before)

    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert state.asks("token", "b", 0).settled(Outcome.LOADED, 0, PAUSE).failures == 0


def test_a_load_under_way_is_not_doubled_whatever_changes_meanwhile() -> None:
    state = asked("a").settled(Outcome.UNDER_WAY, 1, PAUSE)

    assert not state.is_free(LAUNCH_SECONDS * 10)


def test_a_run_that_never_appears_is_asked_for_again() -> None:
    state = asked("a", at=100)

    waiting = state.settled(Outcome.UNKNOWN, 100 + LAUNCH_SECONDS - 1, PAUSE)
    assert not waiting.needs("a")
    assert waiting.needs("b"), "what has changed since needs no patience"
    assert state.settled(Outcome.UNKNOWN, 100 + LAUNCH_SECONDS, PAUSE).needs("a")
    assert state.settled(Outcome.UNKNOWN, 0, PAUSE).needs("a"), "the clock was set back"


def test_a_clock_that_was_set_back_does_not_lengthen_a_pause() -> None:
    state = asked("a").settled(Outcome.FAILED, 10 * LONGEST_PAUSE_SECONDS, PAUSE)

    assert state.is_free(0)


@given(st.lists(st.tuples(MARKS, st.sampled_from(Outcome), st.floats(0, 1e6)), max_size=20))
def test_no_change_is_forgotten_whatever_becomes_of_the_loads(
    history: list[tuple[str, Outcome, float]],
) -> None:
    """After any history there comes a tick that asks for what was not loaded last."""
    state, loaded = WatchedTable(), None
    for mark, outcome, now in history:
        if state.is_free(now) and state.needs(mark):
            state = state.asks("token", mark, now)
        before = state.asked
        state = state.settled(outcome, now, PAUSE)
        if outcome is Outcome.LOADED and before is not None:
            loaded = before.mark

    assert state.seen == loaded
    later = 1e6 + LONGEST_PAUSE_SECONDS + LAUNCH_SECONDS
    settled = state.settled(Outcome.UNKNOWN, later, PAUSE)
    for mark in ("a", "b"):
        assert (settled.is_free(later) and settled.needs(mark)) is (mark != loaded)


@given(
    st.dictionaries(
        st.text(),
        st.builds(
            WatchedTable, st.none() | st.text(), st.none(), st.integers(0, 9), st.floats(0, 1e9)
        ),
    )
)
def test_what_is_known_is_the_same_after_it_was_kept(tables: dict[str, WatchedTable]) -> None:
    with_asked = {name: one.asks("t", "m", 1.0) for name, one in tables.items()}

    assert from_cursor(as_cursor(tables)) == tables
    assert from_cursor(as_cursor(with_asked)) == with_asked
