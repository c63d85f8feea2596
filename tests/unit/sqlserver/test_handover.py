"""A connection that is left is used once, or closed in time."""

import pickle
import time

from tranship.sqlserver.handover import Handover


class Connection:
    """Knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_connection_is_taken_once_and_left_open():
    handover, connection = Handover(), Connection()
    assert handover.take() is None
    handover.leave(connection)
    assert handover.take() is connection
    assert handover.take() is None
    handover.close()
    assert connection.closed == 0


def test_a_connection_that_nobody_takes_is_closed():
    handover, connection = Handover(seconds=0.02), Connection()
    handover.leave(connection)
    deadline = time.monotonic() + 5
    while not connection.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert connection.closed == 1
    assert handover.take() is None


def test_a_connection_that_was_taken_is_not_closed_later():
    handover, connection = Handover(seconds=0.02), Connection()
    handover.leave(connection)
    assert handover.take() is connection
    time.sleep(0.1)
    assert connection.closed == 0


def test_only_one_connection_is_kept():
    handover, first, second = Handover(), Connection(), Connection()
    handover.leave(first)
    handover.leave(second)
    assert (first.closed, second.closed) == (1, 0)
    handover.close()
    assert second.closed == 1


def test_a_copy_for_another_process_has_no_connection():
    handover = Handover()
    handover.leave(Connection())
    assert pickle.loads(pickle.dumps(handover)).take() is None
    handover.close()
