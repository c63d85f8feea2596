"""A server that does not answer is reported in seconds."""

import socket
import time

import pytest

from tranship.errors import ConfigurationError, UnreachableError
from tranship.sqlserver import connection
from tranship.sqlserver.settings import SqlServerSettings


def settings(port: int, *, host: str = "127.0.0.1", seconds: int = 2) -> SqlServerSettings:
    return SqlServerSettings(
        host=host,
        port=port,
        database="dw",
        user="etl",
        password="hunter2",
        encrypt="no",
        connect_timeout_seconds=seconds,
    )


def test_a_closed_port_is_reported_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    with (
        pytest.raises(
            UnreachableError, match=f"127.0.0.1:{port} cannot be reached: Connection refused"
        ),
        connection.connect(settings(port)),
    ):
        pass
    assert time.monotonic() - started < 10


def test_an_unknown_host_is_named():
    with (
        pytest.raises(UnreachableError, match=r'The host "no-such-host\.invalid" is unknown'),
        connection.connect(settings(1433, host="no-such-host.invalid")),
    ):
        pass


def test_a_server_that_says_nothing_is_given_up_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with (
            pytest.raises(UnreachableError, match=f"No SQL Server answered at 127.0.0.1:{port}"),
            connection.connect(settings(port, seconds=1)),
        ):
            pass
    assert time.monotonic() - started < 10


def test_an_import_that_fails_names_the_command_that_mends_it(monkeypatch):
    def fail(name: str) -> None:
        raise ImportError("libltdl.so.7: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ConfigurationError) as caught:
        connection.driver()
    assert "libltdl.so.7: cannot open" in str(caught.value)
    assert (
        "sudo apt-get install --no-install-recommends libltdl7 libkrb5-3 libgssapi-krb5-2"
        in str(caught.value)
    )
