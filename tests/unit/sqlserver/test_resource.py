"""The Dagster resource: configuration in, plain settings out."""

import dagster as dg
import pytest

from tranship.errors import ConfigurationError
from tranship.sqlserver.resource import SqlServerResource


def test_the_resource_becomes_settings(monkeypatch):
    monkeypatch.setenv("SQLSERVER_PASSWORD", "hunter2")
    given = {}

    @dg.asset
    def use(sqlserver: SqlServerResource) -> None:
        given["settings"] = sqlserver.settings()

    resource = SqlServerResource(
        host="db",
        database="dw",
        user="etl",
        password=dg.EnvVar("SQLSERVER_PASSWORD"),
        encrypt="Mandatory",
        application_intent="ReadOnly",
        driver_keywords={"MultiSubnetFailover": "yes"},
    )
    assert dg.materialize([use], resources={"sqlserver": resource}).success
    settings = given["settings"]
    assert (settings.password, settings.encrypt, settings.port) == ("hunter2", "yes", 1433)
    assert settings.application_intent == "ReadOnly"
    assert settings.driver_keywords == {"MultiSubnetFailover": "yes"}


def test_every_field_is_described():
    assert all(field.description for field in SqlServerResource.model_fields.values())


def test_a_wrong_setting_is_named():
    resource = SqlServerResource(
        host="db", database="dw", user="etl", password="x", encrypt="perhaps"
    )
    with pytest.raises(ConfigurationError, match="encrypt is 'perhaps'"):
        resource.settings()


def test_the_password_is_not_in_its_representation():
    resource = SqlServerResource(host="db", database="dw", user="etl", password="hunter2")
    assert "hunter2" not in repr(resource)
    assert "hunter2" not in str(resource)
