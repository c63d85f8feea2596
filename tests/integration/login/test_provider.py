"""Logging in by an identity provider that is a process of its own: it works, and nothing that does not hold is taken."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from front_door import free_ports
from identity_provider import CLIENT_ID, CLIENT_SECRET
from login_under_test import Browser, LoginUnderTest

PROVIDER = Path(__file__).parents[2] / "support/identity_provider.py"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    (port,) = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, str(PROVIDER), str(port)])
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"{issuer}/jwks", timeout=60)
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield issuer
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(autouse=True)
def _well_again(issuer: str) -> Iterator[None]:
    yield
    let(issuer)


def let(issuer: str, **behaviour: object) -> None:
    """What the provider does from now on."""
    httpx.post(f"{issuer}/next", json=behaviour, timeout=60).raise_for_status()


def service(issuer: str, state: Path, **settings: str) -> LoginUnderTest:
    secret = state / "oidc-client-secret"
    secret.write_text(f"{CLIENT_SECRET}\n")
    given = {
        "WAYS": "oidc", "OPERATORS": "group:etl-admins", "VIEWERS": "domain:example.com", "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_CLIENT_SECRET_FILE": str(secret),
    }  # fmt: skip
    return LoginUnderTest(state, **{**given, **settings})


def begin(browser: Browser) -> str:
    """Go to the provider; gives where it sends the browser back to."""
    sent = browser.get("/-/oidc/start")
    assert sent.status_code == 302, sent.text
    back = httpx.get(sent.headers["location"], timeout=60)
    assert back.status_code == 302, back.text
    return back.headers["location"].removeprefix("https://etl.example.com")


def come_back(browser: Browser) -> httpx.Response:
    return browser.get(begin(browser))


# ---- it works ----


def test_somebody_of_the_domain_is_a_viewer(issuer: str, tmp_path: Path):
    login = service(issuer, tmp_path)
    browser = login.browser()
    browser.get("/-/login", params={"next": "/runs"})
    answer = come_back(browser)
    assert answer.status_code == 303, login.lines
    assert answer.headers["location"] == "/runs"
    told = browser.asked().headers
    assert (told["x-tranship-user"], told["x-tranship-role"]) == ("olga@example.com", "viewer")
    assert login.lines == [
        {"audit": "login", "user": "olga@example.com", "address": "10.1.2.3", "way": "oidc", "role": "viewer", "subject": "1234"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "settings", "role"),
    [
        ({"groups": ["x", "etl-admins"]}, {}, "operator"),
        ({"groups": "etl-admins"}, {}, "operator"),
        ({"realm_access": {"roles": ["etl-admins"]}}, {"OIDC_GROUPS_CLAIM": "realm_access.roles"}, "operator"),
        ({}, {"OPERATORS": "user:1234"}, "operator"),
        ({}, {"OPERATORS": "email:OLGA@example.com"}, "operator"),
        ({"email": "olga@example.com.evil.example"}, {}, None),
        ({"email": "olga@evil.example"}, {}, None),
        ({"email_verified": False}, {}, None),
        ({"email_verified": "true"}, {}, None),
        ({"groups": ["etl-admins-not"]}, {"VIEWERS": ""}, None),
        ({"hd": "example.com", "email": "olga@evil.example"}, {}, None),
    ],
)  # fmt: skip
def test_rules_give_roles(
    issuer: str,
    tmp_path: Path,
    claims: dict[str, object],
    settings: dict[str, str],
    role: str | None,
):
    let(issuer, claims=claims)
    login = service(issuer, tmp_path, **settings)
    browser = login.browser()
    answer = come_back(browser)
    assert browser.role == role
    assert answer.status_code == (303 if role else 403)
    assert login.events() == ["login" if role else "login failed"]


def test_what_the_token_lacks_the_provider_is_asked_for(issuer: str, tmp_path: Path):
    let(issuer, without=["email", "preferred_username", "email_verified"])
    browser = service(issuer, tmp_path).browser()
    come_back(browser)
    assert browser.asked().headers["x-tranship-user"] == "olga@example.com"


def test_a_new_key_of_the_provider_is_learnt(issuer: str, tmp_path: Path):
    login = service(issuer, tmp_path)
    assert come_back(login.browser()).status_code == 303
    let(issuer, new_key=True)
    assert come_back(login.browser()).status_code == 303


def test_clocks_may_differ_by_a_minute(issuer: str, tmp_path: Path):
    let(issuer, shifted={"iat": 60, "exp": -60})
    assert come_back(service(issuer, tmp_path).browser()).status_code == 303


def test_other_rules_end_the_sessions_of_before(issuer: str, tmp_path: Path):
    browser = service(issuer, tmp_path).browser()
    come_back(browser)
    browser._login = service(issuer, tmp_path)
    assert browser.role == "viewer"
    browser._login = service(issuer, tmp_path, VIEWERS="group:others")
    assert browser.role is None


# ---- what does not hold is not taken ----


@pytest.mark.parametrize(
    "behaviour",
    [
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"aud": "somebody-else"}},
        {"claims": {"aud": ["somebody-else", "another"]}},
        {"claims": {"azp": "somebody-else"}},
        {"claims": {"nonce": "another"}},
        {"without": ["nonce"]},
        {"without": ["aud"]},
        {"without": ["iss"]},
        {"without": ["exp"]},
        {"without": ["sub"]},
        {"shifted": {"exp": -3600}},
        {"shifted": {"iat": 3600}},
        {"shifted": {"nbf": 3600}},
        {"signed_by": "another key"},
        {"signed_by": "nothing"},
        {"signed_by": "the secret"},
        {"signed_by": "the public key"},
        {"no_id_token": True},
        {"error": "access_denied"},
        {"without": ["email"], "userinfo": {"sub": "5678", "email": "eve@example.com"}},
    ],
    ids=str,
)
def test_what_does_not_hold_is_not_taken(issuer: str, tmp_path: Path, behaviour: dict[str, object]):
    let(issuer, **behaviour)
    login = service(issuer, tmp_path)
    browser = login.browser()
    answer = come_back(browser)
    assert (answer.status_code, browser.role) == (401, None), answer.text
    assert login.events() == ["login failed"]
    assert login.lines[0]["reason"]


def test_a_provider_that_calls_itself_otherwise_is_none(issuer: str, tmp_path: Path):
    let(issuer, issuer_in_metadata="https://evil.example")
    login = service(issuer, tmp_path)
    assert login.browser().get("/-/oidc/start").status_code == 502
    assert "calls itself 'https://evil.example'" in login.lines[0]["reason"]


def test_an_answer_that_another_browser_asked_for_is_not_taken(issuer: str, tmp_path: Path):
    login = service(issuer, tmp_path)
    attackers = begin(login.browser())
    victim = login.browser()
    assert victim.get(attackers).status_code == 401
    begin(victim)
    assert victim.get(attackers).status_code == 401
    assert victim.role is None


def test_an_answer_counts_once(issuer: str, tmp_path: Path):
    browser = service(issuer, tmp_path).browser()
    target = begin(browser)
    kept = dict(browser.cookies)
    assert browser.get(target).status_code == 303
    browser.cookies = kept
    assert browser.get(target).status_code == 401


@pytest.mark.parametrize(
    "query",
    ["", "?code=x", "?state=x", "?code=x&state=y", "?error=x&error_description=%3Cscript%3E"],
)
def test_a_callback_that_nobody_asked_for_is_not_taken(issuer: str, tmp_path: Path, query: str):
    answer = service(issuer, tmp_path).browser().get(f"/-/oidc/callback{query}")
    assert answer.status_code == 401
    assert "<script" not in answer.text


def test_many_logins_that_are_begun_do_not_grow_the_cookie_without_end(issuer: str, tmp_path: Path):
    browser = service(issuer, tmp_path).browser()
    for _ in range(7):
        begin(browser)
    target = begin(browser)
    assert len(browser.cookies["__Host-tranship-flow"]) < 3500
    assert browser.get(target).status_code == 303


def test_a_provider_that_is_down_is_told(tmp_path: Path):
    (port,) = free_ports(1)
    login = service(f"http://127.0.0.1:{port}", tmp_path)
    answer = login.browser().get("/-/oidc/start")
    assert answer.status_code == 502
    assert "ConnectError" in login.lines[0]["reason"]


def test_what_is_asked_has_state_nonce_and_a_challenge(issuer: str, tmp_path: Path):
    sent = service(issuer, tmp_path).browser().get("/-/oidc/start").headers["location"]
    asked = parse_qs(urlsplit(sent).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert all(len(asked[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))


def test_without_a_form_there_is_no_login_by_password(issuer: str, tmp_path: Path):
    browser = service(issuer, tmp_path).browser()
    page = browser.get("/-/login").text
    assert "password" not in page
    assert 'href="/-/oidc/start"' in page
    assert browser.request("POST", "/-/login", data={"name": "a"}).status_code == 404
