"""Settings of the login service, and rules: what cannot be is refused by name."""

import pytest

from login.roles import RuleError, Rules
from login.settings import Settings, SettingsError

GIVEN = {"LOGIN_DOMAIN": "etl.example.com"}
OIDC = {
    "LOGIN_WAYS": "oidc",
    "LOGIN_OIDC_ISSUER": "https://id.example.com",
    "LOGIN_OIDC_CLIENT_ID": "a",
    "LOGIN_VIEWERS": "domain:example.com",
}
PROXY = {
    "LOGIN_WAYS": "proxy",
    "LOGIN_PROXY_ADDRESSES": "10.0.0.1",
    "LOGIN_PROXY_USER_HEADER": "X-User",
    "LOGIN_VIEWERS": "domain:example.com",
}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://etl.example.com"),
        ({"LOGIN_HTTPS_PORT": "443"}, "https://etl.example.com"),
        ({"LOGIN_HTTPS_PORT": "8443"}, "https://etl.example.com:8443"),
        ({"LOGIN_DOMAIN": "2001:db8::1"}, "https://[2001:db8::1]"),
        ({"LOGIN_DOMAIN": "ETL.example.com"}, "https://etl.example.com"),
    ],
)
def test_the_address_is_what_browsers_use(settings: dict[str, str], url: str):
    assert Settings.from_environment({**GIVEN, **settings}).url == url


def test_empty_variables_are_as_none():
    settings = Settings.from_environment({**GIVEN, "LOGIN_WAYS": "", "LOGIN_IDLE_MINUTES": " "})
    assert (settings.ways, settings.idle_seconds, settings.absolute_seconds) == (
        {"users"},
        3600,
        43200,
    )


def test_users_and_a_provider_go_together():
    settings = Settings.from_environment({**GIVEN, **OIDC, "LOGIN_WAYS": "users, oidc"})
    assert settings.ways == {"users", "oidc"}
    assert settings.provider is not None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"LOGIN_DOMAIN": ""}, "LOGIN_DOMAIN"),
        ({"LOGIN_DOMAIN": "a/b"}, "LOGIN_DOMAIN"),
        ({"LOGIN_DOMAIN": "a@b"}, "LOGIN_DOMAIN"),
        ({"LOGIN_HTTPS_PORT": "x"}, "LOGIN_HTTPS_PORT"),
        ({"LOGIN_WAYS": "ldap"}, "LOGIN_WAYS"),
        ({"LOGIN_WAYS": ","}, "LOGIN_WAYS"),
        ({**PROXY, "LOGIN_WAYS": "proxy,users"}, "LOGIN_WAYS"),
        ({"LOGIN_IDLE_MINUTES": "0"}, "LOGIN_IDLE_MINUTES"),
        ({"LOGIN_ABSOLUTE_MINUTES": "1.5"}, "LOGIN_ABSOLUTE_MINUTES"),
        ({**OIDC, "LOGIN_VIEWERS": ""}, "LOGIN_VIEWERS are empty"),
        ({**OIDC, "LOGIN_OIDC_ISSUER": ""}, "LOGIN_OIDC_ISSUER"),
        ({**OIDC, "LOGIN_OIDC_ISSUER": "http://id.example.com"}, "LOGIN_OIDC_ISSUER"),
        ({**OIDC, "LOGIN_OIDC_CLIENT_ID": ""}, "LOGIN_OIDC_CLIENT_ID"),
        ({**PROXY, "LOGIN_PROXY_ADDRESSES": ""}, "LOGIN_PROXY_ADDRESSES"),
        ({**PROXY, "LOGIN_PROXY_ADDRESSES": "0.0.0.0/0"}, "LOGIN_PROXY_ADDRESSES"),
        ({**PROXY, "LOGIN_PROXY_ADDRESSES": "proxy"}, "LOGIN_PROXY_ADDRESSES"),
        ({**PROXY, "LOGIN_PROXY_USER_HEADER": ""}, "LOGIN_PROXY_USER_HEADER"),
        ({"LOGIN_OPERATORS": "admins"}, "LOGIN_OPERATORS"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(settings: dict[str, str], named: str):
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment({**GIVEN, **settings})


@pytest.mark.parametrize("rule", ["admins", "group:", ":x", "role:x", "group"])
def test_a_rule_is_a_kind_and_a_value(rule: str):
    with pytest.raises(RuleError, match="is no rule"):
        Rules.parse(rule, "")
