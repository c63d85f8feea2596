"""Whose word counts when the answer to a commit is lost."""

from datetime import UTC, datetime, timedelta

from tranship.postgres.transaction import Server

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = datetime(2026, 6, 1, tzinfo=UTC)


def test_the_same_server_and_one_that_was_restarted_since_know_of_the_transaction() -> None:
    server = Server(STARTED, SEEN)
    assert server.is_still(STARTED)
    assert server.is_still(SEEN + timedelta(seconds=20))


def test_a_standby_that_took_over_does_not() -> None:
    server = Server(STARTED, SEEN)
    assert not server.is_still(STARTED + timedelta(days=1))
    assert not server.is_still(STARTED - timedelta(days=1))
