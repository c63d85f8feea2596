"""A connection that is left is used once, or closed in time."""

import pickle
import time

from tranship.sqlserver.idle_connection import IdleConnection


class Connection:
    """Knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_connection_is_taken_once_and_left_open():
    idle, connection = IdleConnection(), Connection()
    assert idle.take() is None
    idle.put(connection)
    assert idle.take() is connection
    assert idle.take() is None
    idle.close()
    assert connection.closed == 0


def test_a_connection_that_nobody_takes_is_closed():
    idle, connection = IdleConnection(seconds=0.02), Connection()
    idle.put(connection)
    deadline = time.monotonic() + 5
    while not connection.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert connection.closed == 1
    assert idle.take() is None


def test_a_connection_that_was_taken_is_not_closed_later():
    idle, connection = IdleConnection(seconds=0.5), Connection()
    idle.put(connection)
    assert idle.take() is connection
    time.sleep(0.7)
    assert connection.closed == 0


def test_only_one_connection_is_kept():
    idle, first, second = IdleConnection(), Connection(), Connection()
    idle.put(first)
    idle.put(second)
    assert (first.closed, second.closed) == (1, 0)
    idle.close()
    assert second.closed == 1


def test_a_copy_for_another_process_has_no_connection():
    idle = IdleConnection()
    idle.put(Connection())
    assert pickle.loads(pickle.dumps(idle)).take() is None
    idle.close()
