"""A company's own proxy that says who asks: believed from its addresses, and from no other."""

import json
from collections.abc import Iterator

import pytest
from front_door import FrontDoorUnderTest

pytestmark = pytest.mark.timeout(300)

HEADERS = {"EDGE_IDENTITY_HEADERS": "X-Remote-User X-Remote-Groups"}
LOGIN = {
    "LOGIN_WAYS": "proxy",
    "LOGIN_OPERATORS": "group:etl-admins",
    "LOGIN_VIEWERS": "domain:example.com",
    "LOGIN_PROXY_USER_HEADER": "X-Remote-User",
    "LOGIN_PROXY_GROUPS_HEADER": "X-Remote-Groups",
}
OLGA = {"X-Remote-User": "olga@example.com"}


def behind(addresses: str) -> FrontDoorUnderTest:
    return FrontDoorUnderTest(
        {**HEADERS, "EDGE_TRUSTED_PROXIES": addresses},
        {**LOGIN, "LOGIN_PROXY_ADDRESSES": addresses},
    )


@pytest.fixture(scope="module")
def trusted() -> Iterator[FrontDoorUnderTest]:
    with behind("127.0.0.0/8 ::1") as door:
        yield door


@pytest.mark.parametrize(
    ("headers", "role"),
    [
        (OLGA, "viewer"),
        ({**OLGA, "X-Remote-Groups": "x, etl-admins"}, "operator"),
        ({"X-Remote-User": "eve@example.com.evil.example"}, None),
        ({"X-Remote-User": ""}, None),
        ({"X-Remote-Groups": "etl-admins"}, None),
        ({"X-Tranship-User": "olga", "X-Tranship-Role": "operator"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_proxys_word_counts(
    trusted: FrontDoorUnderTest, headers: dict[str, str], role: str | None
):
    page = trusted.browser().get("/-/account", headers=headers)
    assert (f", {role}." in page.text) is (role is not None)
    query = trusted.browser().post("/graphql", json={"query": "{ version }"}, headers=headers)
    assert query.status_code == (200 if role else 403)


def test_two_users_are_nobody(trusted: FrontDoorUnderTest):
    headers = [("X-Remote-User", "olga@example.com"), ("X-Remote-User", "eve@example.com")]
    assert trusted.browser().get("/", headers=headers).status_code == 403


def test_what_is_told_has_the_user_and_the_clients_address_by_the_proxys_word(
    trusted: FrontDoorUnderTest,
):
    headers = {
        **OLGA,
        "X-Remote-Groups": "etl-admins",
        "X-Forwarded-For": "10.9.8.7",
        "Origin": trusted.url,
    }
    mutation = 'mutation Told { setConcurrencyLimit(concurrencyKey: "a", limit: 1) }'
    answer = trusted.browser().post("/graphql", json={"query": mutation}, headers=headers)
    assert answer.status_code == 200
    (line,) = [
        json.loads(line)
        for line in trusted.processes.log("operators").splitlines()
        if '"Told"' in line
    ]
    assert (line["user"], line["address"]) == ("olga@example.com", "10.9.8.7")


def test_there_is_no_login_page(trusted: FrontDoorUnderTest):
    assert trusted.browser().get("/-/login").status_code == 404


def test_from_another_address_the_same_headers_are_nothing():
    door = behind("192.0.2.1")
    door._webservers = False
    with door:
        for headers in (
            {**OLGA, "X-Forwarded-For": "192.0.2.1"},
            {**OLGA, "X-Tranship-Peer": "192.0.2.1"},
        ):
            browser = door.browser()
            assert browser.get("/-/account", headers=headers).headers["location"] == "/-/login"
            assert browser.get("/", headers=headers).status_code == 403
