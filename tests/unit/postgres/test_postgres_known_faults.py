"""Every fault of Postgres that passes, by its state or words, and what stays."""

from types import SimpleNamespace

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError, TransientError, UnreachableError
from tranship.postgres.faults import refused, translate
from tranship.postgres.known_faults import PASSING, REFUSALS
from tranship.postgres.settings import SESSION_ATTRIBUTES, PostgresSettings

SETTINGS = PostgresSettings(host="db", database="ware", user="etl", password="hunter2")
STATES = {
    "40001": "could not serialize access due to concurrent update",
    "40P01": "deadlock detected",
    "25006": "cannot execute INSERT in a read-only transaction",
    "25P03": "terminating connection due to idle-in-transaction timeout",
    "25P04": "terminating connection due to transaction timeout",
    "53200": "out of memory",
    "53300": "remaining connection slots are reserved",
    "55P03": "canceling statement due to lock timeout",
    "57P01": "terminating connection due to administrator command",
    "57P02": "terminating connection because of crash of another server process",
    "57P03": "the database system is starting up",
    "57P05": "terminating connection due to idle-session timeout",
    "72000": "snapshot too old",
}
WORDS = [
    "could not open relation with OID 16413",
    "cache lookup failed for relation 16413",
    "cache lookup failed for type 16413",
    "tuple concurrently updated",
    "tuple concurrently deleted",
]


def said(message: str, state: str) -> psycopg2.Error:
    """A server error with texts of choice: the driver's own cannot be built."""
    words = SimpleNamespace(message_primary=message, message_detail=None, context=None)
    return type("Said", (psycopg2.DatabaseError,), {"diag": words, "pgcode": state})(message)


def test_every_entry_says_where_it_is_documented_and_has_a_text_here() -> None:
    assert {fault.codes[0] for fault in PASSING if not fault.words} == set(STATES)
    assert all(fault.source.startswith("https://") for fault in (*PASSING, *REFUSALS))


@pytest.mark.parametrize("state", STATES)
def test_a_state_that_passes_is_tried_again(state: str) -> None:
    error = translate(said(STATES[state], state), SETTINGS, doing="replace of public.t")
    assert type(error) is TransientError
    assert STATES[state] in str(error)
    assert error.details["sqlstate"] == state


@pytest.mark.parametrize("message", WORDS)
def test_a_race_in_the_catalogue_is_tried_again(message: str) -> None:
    assert translate(said(message, "XX000"), SETTINGS).transient


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("XX000", "invalid memory alloc request size 1073741824"),
        ("57P04", "terminating connection because the database was dropped"),
        ("57014", "canceling statement due to statement timeout"),
        ("42P01", 'relation "t" does not exist'),
    ],
)
def test_what_stays_is_not_tried_again(state: str, message: str) -> None:
    assert not translate(said(message, state), SETTINGS).transient


def test_a_server_that_takes_no_writes_says_how_a_failover_is_followed() -> None:
    error = translate(said(STATES["25006"], "25006"), SETTINGS)
    assert "host: db1,db2" in error.remedy


@pytest.mark.parametrize(
    "message",
    [
        "FATAL:  the database system is in recovery mode",
        "FATAL:  the database system is not yet accepting connections",
        "FATAL:  the database system is shutting down",
        "FATAL:  terminating connection due to administrator command",
        "session is read-only",
        "server is in hot standby mode",
        "could not receive data from server: Connection reset by peer",
        "query_wait_timeout",
        "could not translate host name: Temporary failure in name resolution",
    ],
)
def test_a_connection_that_may_be_made_later_is_tried_again(message: str) -> None:
    assert type(refused(psycopg2.OperationalError(message), SETTINGS)) is UnreachableError


@given(
    hosts=st.lists(
        st.tuples(
            st.sampled_from(["db1", "db-2.example.com", "10.0.0.1", "/run/pg", "::1", "[fe80::2]"]),
            st.none() | st.integers(1, 65535),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_several_hosts_keep_their_ports(hosts: list[tuple[str, int | None]]) -> None:
    def written(host: str, port: int | None) -> str:
        if port is None or host.startswith("/"):
            return host
        return f"[{host}]:{port}" if ":" in host and "[" not in host else f"{host}:{port}"

    settings = PostgresSettings(
        host=",".join(written(*one) for one in hosts), port=6000, database="w", user="etl"
    )
    wanted = settings.libpq_hosts()
    assert wanted["host"].split(",") == [host.strip("[]") for host, _ in hosts]
    assert wanted["port"].split(",") == [
        str(6000 if port is None or host.startswith("/") else port) for host, port in hosts
    ]
    assert wanted["target_session_attrs"] == ("read-write" if len(hosts) > 1 else "any")


def test_hosts_of_a_url_are_all_read() -> None:
    settings = PostgresSettings.from_url(
        "postgresql://etl@/ware?host=db1:5433&host=db2&target_session_attrs=primary"
    )
    assert settings.addresses == ("db1:5433", "db2:5432")
    assert settings.libpq_hosts()["target_session_attrs"] == "primary"


def test_a_word_that_libpq_does_not_know_is_refused_with_those_it_knows() -> None:
    with pytest.raises(ConfigurationError, match=", ".join(SESSION_ATTRIBUTES)):
        PostgresSettings(host="db", database="w", user="etl", target_session_attrs="writer")
