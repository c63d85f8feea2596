"""Which changes of what a server tells of itself make another source of it, and which do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.identity import SourceIdentity
from tranship.sqlserver.identity import (
    BROKER,
    CREATED,
    DATABASE,
    FORK,
    GROUP,
    GUID,
    SERVER,
    TABLE,
    TABLE_CREATED,
    TWINS,
    difference,
    not_told,
)

SEEN = {
    SERVER: "SQL1",
    DATABASE: "Sales",
    CREATED: "2024-01-01T00:00:00",
    BROKER: "b1",
    GUID: "g1",
    FORK: "f1",
    TWINS: "1",
    TABLE: "100",
    TABLE_CREATED: "2024-01-02T00:00:00",
}
PARTS = [*SEEN, GROUP]


def identity(**changed: str | None) -> SourceIdentity:
    return SourceIdentity.of({**SEEN, **changed})


def in_a_group(**changed: str | None) -> SourceIdentity:
    return identity(**{GROUP: "a1", **changed})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (identity(**{SERVER: "SQL2"}), "on the server SQL2, no longer on SQL1"),
        (identity(**{GUID: "g2"}), "its database_guid is g2"),
        (identity(**{FORK: "f2"}), "restored from a backup, or a failover was forced"),
        (identity(**{TABLE: "200"}), "the table was created anew"),
        (identity(**{DATABASE: "Copy", TWINS: "2"}), "it is a copy"),
        (identity(**{GUID: None, BROKER: "b2"}), "its service_broker_guid is b2"),
        (identity(**{GUID: None, CREATED: "2025-01-01T00:00:00"}), "its create_date is 2025"),
        (in_a_group(**{SERVER: "SQL2"}), "on the server SQL2"),
    ],
)
def test_another_source_is_told_by_what_differs(now: SourceIdentity, words: str) -> None:
    assert words in (difference(identity(), now) or "nothing")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(in_a_group(), in_a_group(**{SERVER: "SQL2", GUID: "g2"}), id="a failover"),
        pytest.param(
            identity(), identity(**{DATABASE: "Renamed", CREATED: "2025"}), id="a renamed database"
        ),
        pytest.param(identity(), in_a_group(), id="a database that joined a group"),
        pytest.param(identity(), identity(**{TABLE_CREATED: "2025"}), id="the same object"),
    ],
)
def test_the_same_source_by_another_name_is_the_same(
    before: SourceIdentity, now: SourceIdentity
) -> None:
    assert difference(before, now) is None


@given(st.sets(st.sampled_from(PARTS)), st.sets(st.sampled_from(PARTS)))
def test_what_one_side_does_not_tell_makes_no_difference(before: set[str], now: set[str]) -> None:
    """A login that may see less, or more, than the last time reads the same source."""
    hidden = in_a_group(**dict.fromkeys(before)), in_a_group(**dict.fromkeys(now))

    assert difference(*hidden) is None


@given(st.sampled_from([FORK, TABLE]), st.sets(st.sampled_from([SERVER, GUID, GROUP, BROKER])))
def test_a_restored_backup_or_a_new_table_is_seen_whatever_else_is_hidden(
    part: str, hidden: set[str]
) -> None:
    before = in_a_group(**dict.fromkeys(hidden))

    assert difference(before, in_a_group(**{part: "other"})) is not None


def test_a_login_that_sees_too_little_is_told_what_to_grant() -> None:
    assert not_told(identity()) is None
    assert "grant view any database to" in (not_told(identity(**{FORK: None, GUID: None})) or "")


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_an_identity_is_the_same_after_it_was_kept_as_json(parts: dict[str, str]) -> None:
    kept = SourceIdentity.of(parts)

    assert SourceIdentity.of(kept.as_json()) == kept
    assert SourceIdentity.of(kept.as_json()).token == kept.token
