"""Settings of the SQL Server source: what they accept, and that they keep their secret."""

from urllib.parse import unquote

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError
from tranship.sqlserver.connection import connection_string
from tranship.sqlserver.settings import SqlServerSettings

PASSWORD = "p}a;s{s@w/or d"


def settings(**changes) -> SqlServerSettings:
    given = {"host": "db", "database": "dw", "user": "etl", "password": PASSWORD, **changes}
    return SqlServerSettings(**given)


def test_the_password_is_in_no_representation():
    assert PASSWORD not in repr(settings())
    assert PASSWORD not in str(settings())
    assert PASSWORD not in str(settings().url())


def test_a_password_with_every_special_character_survives_the_connection_string():
    assert "PWD={p}}a;s{s@w/or d};" in connection_string(settings())


def test_tls_is_verified_unless_told_otherwise():
    text = connection_string(settings())
    assert "Encrypt={yes}" in text
    assert "TrustServerCertificate={no}" in text


def test_a_url_gives_the_settings_that_make_it():
    made = settings(port=14330, encrypt="no", driver_keywords={"MultiSubnetFailover": "yes"})
    assert SqlServerSettings.from_url(made.url()) == made
    assert SqlServerSettings.from_url(made.url().render_as_string(hide_password=False)) == made


def test_a_url_may_use_the_other_words_of_the_odbc_driver():
    read = SqlServerSettings.from_url(
        "mssql+mssqlpython://etl:x@db/dw?Encrypt=Mandatory&TrustServerCertificate=true"
        "&ApplicationIntent=readonly"
    )
    assert (read.encrypt, read.trust_server_certificate, read.application_intent) == (
        "yes",
        True,
        "ReadOnly",
    )
    assert read.port == 1433


TEXT = st.text(min_size=1, max_size=12)


def database_of(url: sa.URL) -> str | None:
    """SQLAlchemy decodes a URL's database since 2.1."""
    if url.database is None or not sa.__version__.startswith("2.0."):
        return url.database
    return unquote(url.database)


@given(user=TEXT, password=TEXT, database=TEXT, port=st.none() | st.integers(1, 65535))
def test_a_url_is_read_as_sqlalchemy_reads_it(user, password, database, port):
    url = sa.URL.create(
        "mssql+mssqlpython",
        username=user,
        password=password,
        host="DB.example.com",
        port=port,
        database=database,
        query={"PacketSize": password, "Encrypt": ("no", "strict")},
    )
    text = url.render_as_string(hide_password=False)
    theirs = sa.make_url(text)
    for ours in (SqlServerSettings.from_url(text), SqlServerSettings.from_url(url)):
        assert (ours.user, ours.password) == (theirs.username, theirs.password)
        assert (ours.host, ours.port) == (theirs.host, theirs.port or 1433)
        assert ours.database == database_of(theirs)
        assert ours.encrypt == "strict"
        assert ours.driver_keywords == {"PacketSize": theirs.query["PacketSize"]}


@pytest.mark.parametrize(
    "text",
    [
        "mssql+mssqlpython://etl:p#w/o?r%20d+@db/dw",
        "mssql+mssqlpython://etl:a:b@[::1]:1434/dw?MARS_Connection=yes&empty=",
        "mssql://etl:x@db:1434/d%2Fw?Trusted=a%20b+c",
    ],
)
def test_special_characters_are_read_as_sqlalchemy_reads_them(text):
    ours, theirs = SqlServerSettings.from_url(text), sa.make_url(text)
    assert (ours.user, ours.password) == (theirs.username, theirs.password)
    assert (ours.host, ours.port) == (theirs.host, theirs.port or 1433)
    assert ours.database == database_of(theirs)
    assert ours.driver_keywords == dict(theirs.query)


def test_a_port_that_is_no_number_is_refused_without_showing_the_url():
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        SqlServerSettings.from_url("mssql+mssqlpython://etl:hunter2@db:many/dw")
    assert "hunter2" not in str(caught.value)


def test_an_unreadable_url_is_refused_without_showing_it():
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        SqlServerSettings.from_url("mssql//etl:hunter2@db")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": ""}, "The SQL Server's host is empty. Set host."),
        ({"password": ""}, "The SQL Server's password is empty. Set password."),
        ({"host": "db\\SQLEXPRESS"}, "Give the host alone, and the instance's TCP port as port."),
        ({"host": "db,1434"}, "Give the host alone"),
        ({"port": 0}, "The SQL Server's port is 0."),
        ({"connect_timeout_seconds": 0}, "Give at least 1 s to connect"),
        ({"driver_keywords": {"PWD": "x"}}, "repeats settings that have a name of their own: PWD"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ConfigurationError) as caught:
        settings(**changes)
    assert message in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_an_unknown_encrypt_word_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"encrypt is 'maybe'. Give one of yes, no, strict."
    ):
        SqlServerSettings.from_url("mssql+mssqlpython://etl:x@db/dw?Encrypt=maybe")


@pytest.mark.parametrize(
    "keywords",
    [
        {"Authentication": "ActiveDirectoryMsi"},
        {"authentication": "ActiveDirectoryDefault"},
        {"Trusted_Connection": "yes"},
    ],
)
def test_a_login_without_a_password_sends_none(keywords: dict[str, str]):
    settings = SqlServerSettings(host="db", database="dw", driver_keywords=keywords)
    sent = connection_string(settings)
    assert "UID" not in sent
    assert "PWD" not in sent


@pytest.mark.parametrize(
    "keywords",
    [{}, {"Authentication": "ActiveDirectoryServicePrincipal"}, {"Trusted_Connection": "no"}],
)
def test_a_login_that_needs_a_password_is_refused_without(keywords: dict[str, str]):
    with pytest.raises(ConfigurationError, match="user is empty"):
        SqlServerSettings(host="db", database="dw", driver_keywords=keywords)
    with pytest.raises(ConfigurationError, match="password is empty"):
        SqlServerSettings(host="db", database="dw", user="etl", driver_keywords=keywords)
