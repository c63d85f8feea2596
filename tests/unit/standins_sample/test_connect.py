"""URLs of a SQL Server: taken apart, and never shown with their password."""

import pytest

from standins.sample.connect import parse_url

URL = "mssql+mssqlpython://sa:p%40ss%7Dword@db.example.com:14330/Sales?Encrypt=no"


def test_a_url_becomes_a_connection_string_with_escapes():
    url = parse_url(URL)
    assert url.connection_string(url.database) == (
        "Server=db.example.com,14330;Database={Sales};UID={sa};PWD={p@ss}}word};Encrypt=no;"
    )


def test_the_password_is_not_shown():
    assert "p@ss" not in repr(parse_url(URL))


def test_a_url_without_password_and_port_takes_the_given_one():
    url = parse_url("mssql+mssqlpython://sa@localhost/Sales", password="from-environment")
    assert (url.password, url.port) == ("from-environment", 1433)


def test_the_password_of_the_url_wins():
    assert parse_url(URL, password="other").password == "p@ss}word"


@pytest.mark.parametrize(
    "wrong",
    ["postgresql://sa:x@localhost/Sales", "mssql+mssqlpython://localhost/Sales", "sa@localhost"],
)
def test_another_kind_of_url_is_refused_with_the_right_form(wrong: str):
    with pytest.raises(ValueError, match=r"must look like mssql\+mssqlpython://USER"):
        parse_url(wrong)


def test_a_url_without_database_is_refused():
    with pytest.raises(ValueError, match="DATABASE"):
        parse_url("mssql+mssqlpython://sa:x@localhost:1433")
