"""Where TLS is verified without being asked, and what is said where it is not."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.tls import sslmode_for, sslmode_of, tell_what_is_off, what_is_off

HERE = [
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "[::1]",
    "/run/postgresql",
    "@pg",
    "db.localhost",
    "127.0.0.1:5433",
    "[::1]:5432",
]
ELSEWHERE = [
    "db",
    "warehouse",
    "10.0.0.1",
    "192.168.1.1",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "::2",
    "0.0.0.0",
    "db:5433",
]


@pytest.mark.parametrize("host", HERE)
def test_nothing_is_verified_on_this_machine(host):
    assert sslmode_for(host) == "prefer"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_everything_is_verified_elsewhere(host):
    assert sslmode_for(host) == "verify-full"


@given(st.sampled_from(HERE), st.sampled_from(ELSEWHERE), st.booleans())
def test_one_host_elsewhere_among_several_is_enough_to_verify(here, elsewhere, first):
    assert sslmode_for(f"{elsewhere},{here}" if first else f"{here},{elsewhere}") == "verify-full"
    assert sslmode_for(f"{here},{here}") == "prefer"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"X_HOST": "warehouse"}, None),
        ({"X_HOST": "warehouse", "TRANSHIP_HOSTS_WITHOUT_TLS": "warehouse redshift"}, "disable"),
        ({"X_HOST": "dw.example.com", "TRANSHIP_HOSTS_WITHOUT_TLS": "warehouse redshift"}, None),
        ({"X_HOST": "house", "TRANSHIP_HOSTS_WITHOUT_TLS": "warehouse"}, None),
        ({"X_HOST": "warehouse", "X_SSLMODE": "require", "TRANSHIP_HOSTS_WITHOUT_TLS": "warehouse"}, "require"),
        ({"X_HOST": "db", "X_SSLMODE": ""}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_deployment_says_which_of_its_hosts_have_no_certificate(variables, expected):
    assert sslmode_of(variables, "X_") == expected


@pytest.mark.parametrize(
    ("mode", "words"),
    [("disable", "not encrypted"), ("prefer", "nobody checks"), ("require", "but nobody checks")],
)
def test_what_is_off_is_said_once_for_each_address(mode, words, caplog):
    log = logging.getLogger("tls-test")
    for _ in range(2):
        tell_what_is_off(mode, f"{mode}.example.com", "Postgres", log)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert words in record.getMessage()
    assert f"sslmode is {mode}" in record.getMessage()


@pytest.mark.parametrize(
    ("mode", "host"), [("verify-full", "db"), ("verify-ca", "db"), ("disable", "127.0.0.1")]
)
def test_nothing_is_said_where_nothing_is_off(mode, host):
    assert what_is_off(mode, host) is None
