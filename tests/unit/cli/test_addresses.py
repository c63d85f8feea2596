"""Where systems are: from a URL or from the variables a deployment sets, and errors that name what is missing."""

from typing import Any

import pytest

from tranship.errors import ConfigurationError
from tranship.postgres.target import PostgresTarget
from tranship.redshift.target import RedshiftTarget
from tranship.sqlserver.settings import SqlServerSettings
from tranship.systems import SourceSystem, TargetSystem, system_as, system_of_url
from tranship.target import Target


def source_settings(url: str | None, environment: dict[str, str]) -> SqlServerSettings:
    system = system_as("sqlserver", SourceSystem)
    return system.settings(url, environment)


def target_of(url: str | None, kind: str, environment: dict[str, str]) -> Target:
    system = system_as(kind, TargetSystem) if url is None else system_of_url(url, TargetSystem)
    return system.open_target(system.settings(url, environment, option="--target-url"))


SOURCE = {
    "TRANSHIP_SQLSERVER_HOST": "db",
    "TRANSHIP_SQLSERVER_PORT": "1444",
    "TRANSHIP_SQLSERVER_DATABASE": "dw",
    "TRANSHIP_SQLSERVER_USER": "etl",
    "TRANSHIP_SQLSERVER_PASSWORD": "hunter2",
}


def test_the_source_is_where_the_deployments_variables_say():
    found = source_settings(None, {**SOURCE, "TRANSHIP_SQLSERVER_TRUST_CERTIFICATE": "yes"})
    assert (found.address, found.database, found.user, found.password) == (
        "db:1444", "dw", "etl", "hunter2",
    )  # fmt: skip
    assert found.trust_server_certificate
    assert not source_settings(None, SOURCE).trust_server_certificate


def test_a_source_url_wins_and_may_leave_its_password_to_the_environment():
    given = source_settings("mssql+mssqlpython://me:secret@other/db2?Encrypt=no", SOURCE)
    assert (given.address, given.user, given.password) == ("other:1433", "me", "secret")
    assert given.encrypt == "no"
    assert source_settings("mssql+mssqlpython://me@other/db2", SOURCE).password == "hunter2"


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call(*arguments)
    return str(caught.value)


def test_what_is_missing_is_named():
    assert refused(source_settings, None, {}).startswith(
        "TRANSHIP_SQLSERVER_HOST, TRANSHIP_SQLSERVER_DATABASE, TRANSHIP_SQLSERVER_USER, "
        "TRANSHIP_SQLSERVER_PASSWORD are not set. Set what is missing, or give source_url mssql+"
    )
    assert refused(source_settings, None, {**SOURCE, "TRANSHIP_SQLSERVER_PASSWORD": ""}).startswith(
        "TRANSHIP_SQLSERVER_PASSWORD is not set."
    )
    assert refused(target_of, None, "postgres", {}).startswith("TRANSHIP_POSTGRES_HOST, ")
    assert refused(target_of, None, "redshift", {}).startswith("TRANSHIP_REDSHIFT_HOST, ")


@pytest.mark.parametrize("port", ["x", "0", "70000"])
def test_a_port_that_is_none_is_refused(port: str):
    assert refused(source_settings, None, {**SOURCE, "TRANSHIP_SQLSERVER_PORT": port}) == (
        f"TRANSHIP_SQLSERVER_PORT is {port!r}. Give a TCP port: 1 to 65535."
    )


@pytest.mark.parametrize("url", ["sa:hunter2@db/dw", "mssql://sa:hunter2@db:port/dw", "", "x"])
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(url: str):
    for said in (refused(source_settings, url, {}), refused(target_of, url, "postgres", {})):
        assert "URL cannot be read" in said
        assert "hunter2" not in said


def test_a_url_of_another_system_is_refused():
    assert refused(source_settings, "postgresql://a:b@c/d", {}).startswith(
        "The SQL Server's URL begins with postgresql://, not with mssql. Write mssql+"
    )
    assert refused(target_of, "mssql+mssqlpython://a:b@c/d", "postgres", {}).startswith(
        "The target's URL begins with mssql+mssqlpython://, not with postgres or postgresql or redshift."
    )


def test_a_postgres_is_where_its_url_or_the_variables_say():
    of_url = target_of("postgresql+psycopg2://me:se%40cret@host/wh", "postgres", {})
    assert isinstance(of_url, PostgresTarget)
    assert (str(of_url.settings), of_url.settings.password) == ("me@host:5432/wh", "se@cret")
    variables = {
        f"TRANSHIP_POSTGRES_{name}": value
        for name, value in {"HOST": "h", "DATABASE": "d", "USER": "u", "PASSWORD": "p"}.items()
    }
    of_variables = target_of(None, "postgres", variables)
    assert isinstance(of_variables, PostgresTarget)
    assert str(of_variables.settings) == "u@h:5432/d"
    without = target_of("postgresql://me@host/wh", "postgres", variables)
    assert isinstance(without, PostgresTarget)
    assert without.settings.password == "p"


def test_a_redshift_needs_no_bucket_for_its_bookmarks():
    of_url = target_of("redshift://me:secret@host:5440/dev?sslmode=require", "postgres", {})
    assert isinstance(of_url, RedshiftTarget)
    assert (of_url.settings.address, of_url.settings.user) == ("host:5440/dev", "me")
    assert of_url.settings.sslmode == "require"
    variables = {
        f"TRANSHIP_REDSHIFT_{name}": value
        for name, value in {"HOST": "h", "DATABASE": "d", "USER": "u", "CLUSTER": "c"}.items()
    }
    of_variables = target_of(None, "redshift", variables)
    assert isinstance(of_variables, RedshiftTarget)
    # With a cluster's name, temporary credentials are fetched.
    assert (of_variables.settings.cluster_identifier, of_variables.settings.password) == ("c", None)
