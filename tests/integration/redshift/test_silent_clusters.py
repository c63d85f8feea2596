"""A Redshift that keeps the connection and says nothing: every wait for it ends."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cable import Cable

from tranship.bounded_connections import KEEPALIVES
from tranship.errors import TransientError
from tranship.redshift.connection import connected
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.faults import translated
from tranship.redshift.settings import RedshiftSettings


@pytest.fixture
def cable(settings: RedshiftSettings) -> Iterator[Cable]:
    assert settings.host is not None
    made = Cable(settings.host, settings.port)
    yield made
    made.close()


def test_a_statement_that_is_never_answered_ends(settings: RedshiftSettings, cable: Cable):
    impatient = replace(settings, host="127.0.0.1", port=cable.port, answer_timeout_seconds=2)

    def ask() -> None:
        with (
            connected(impatient, CredentialsSource(impatient)) as connection,
            translated(impatient, "look at the cluster"),
            connection.cursor() as cursor,
        ):
            cursor.execute("select 1")
            cable.fall_silent()
            cursor.execute("select 2")

    with pytest.raises(TransientError, match="said nothing for 2 s"):
        ask()


def test_a_peer_that_is_gone_is_noticed_by_the_kernel(settings: RedshiftSettings):
    with connected(settings, CredentialsSource(settings)) as connection:
        told = connection.get_dsn_parameters()
    assert {name: told[name] for name in KEEPALIVES} == {
        name: str(value) for name, value in KEEPALIVES.items()
    }
