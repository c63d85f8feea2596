"""Logging in by name and password: cookies, ways out, lock-out, forms of other pages."""

import json

import pytest
from login_under_test import URL, LoginUnderTest

from login.application import own_path

PAGE = {"accept": "text/html"}


def test_who_has_logged_in_is_told_to_the_edge_with_their_role(login: LoginUnderTest):
    browser = login.browser()
    answer = browser.log_in("olga")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    told = browser.asked().headers
    assert (told["x-tranship-user"], told["x-tranship-role"]) == ("olga", "operator")
    other = login.browser()
    other.log_in("vera")
    assert other.role == "viewer"
    assert login.lines[0] == {
        "audit": "login", "user": "olga", "address": "10.1.2.3", "way": "users", "role": "operator",
    }  # fmt: skip


def test_the_cookie_is_for_this_host_over_https_and_for_no_script(login: LoginUnderTest):
    cookies = login.browser().log_in("olga").headers.get_list("set-cookie")
    (session,) = [cookie for cookie in cookies if cookie.startswith("__Host-tranship=")]
    attributes = {part.strip().lower() for part in session.split(";")[1:]}
    assert attributes == {"httponly", "secure", "samesite=lax", "path=/", "max-age=43200"}
    assert all("secure" in cookie.lower() and "httponly" in cookie.lower() for cookie in cookies)


def test_the_token_is_not_kept(login: LoginUnderTest):
    browser = login.browser()
    browser.log_in("olga")
    token = browser.cookies["__Host-tranship"]
    assert len(token) >= 40
    kept = b"".join(file.read_bytes() for file in login.state.iterdir())
    assert token.encode() not in kept


def test_a_page_is_led_to_the_login_and_back(login: LoginUnderTest):
    browser = login.browser()
    answer = browser.asked("/runs?tag=a%26b", **PAGE)
    assert (answer.status_code, answer.headers["location"]) == (
        302,
        "/-/login?next=%2Fruns%3Ftag%3Da%2526b",
    )
    browser.get(answer.headers["location"])
    assert browser.log_in("olga").headers["location"] == "/runs?tag=a%26b"


@pytest.mark.parametrize(
    "headers",
    [{}, {"accept": "*/*"}, {**PAGE, "x-forwarded-method": "POST"}, {"accept": "application/json"}],
)
def test_a_program_is_told_to_log_in(login: LoginUnderTest, headers: dict[str, str]):
    assert login.browser().asked("/graphql", **headers).status_code == 401


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)",
        "evil.example", "", "/-/logout", "http:evil.example", "///evil.example", "/\n/evil.example", "/" + "a" * 3000, "//[", " //evil",
    ],
)  # fmt: skip
def test_the_login_leads_nowhere_else(login: LoginUnderTest, target: str):
    assert own_path(target) == "/"
    browser = login.browser()
    browser.get("/-/login", params={"next": target})
    assert browser.log_in("olga").headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"),
    [("olga", "wrong"), ("nobody", "correct horse battery"), ("", ""), ("OLGA", "x" * 5000)],
)
def test_wrong_is_wrong_whatever_is_wrong(login: LoginUnderTest, name: str, password: str):
    browser = login.browser()
    answer = browser.log_in(name, password)
    assert (answer.status_code, browser.role) == (401, None)
    assert "Name or password is wrong." in answer.text
    assert login.events() == ["login failed"]


def test_the_log_has_no_name_that_nobody_has(login: LoginUnderTest):
    login.browser().log_in("my secret password", "x")
    login.browser().log_in("olga", "x")
    assert [line["user"] for line in login.lines] == [None, "olga"]
    kept = b"".join(file.read_bytes() for file in login.state.iterdir())
    assert b"my secret password" not in kept + json.dumps(login.lines).encode()


def test_a_name_that_nobody_has_costs_a_check_as_well(
    login: LoginUnderTest, monkeypatch: pytest.MonkeyPatch
):
    from login import passwords

    checked: list[str] = []
    original = passwords._verify
    monkeypatch.setattr(
        passwords,
        "_verify",
        lambda stored, given: checked.append(stored) or original(stored, given),
    )
    login.browser().log_in("olga", "x")
    login.browser().log_in("nobody", "x")
    assert len(checked) == 2
    assert all(stored.startswith("$argon2id$") for stored in checked)


def test_a_hash_costs_what_the_standard_recommends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    from login.passwords import hash_password

    # https://www.rfc-editor.org/rfc/rfc9106#section-4, the second choice
    assert hash_password("correct horse battery").startswith("$argon2id$v=19$m=65536,t=3,p=4$")


# ---- ways out ----


def test_logging_out_ends_the_session_at_the_server(login: LoginUnderTest):
    browser = login.browser()
    browser.log_in("olga")
    token = browser.cookies["__Host-tranship"]
    answer = browser.log_out()
    assert (answer.status_code, answer.headers["location"]) == (303, "/-/login")
    assert "__Host-tranship" not in browser.cookies
    browser.cookies["__Host-tranship"] = token
    assert browser.role is None
    assert login.events() == ["login", "logout"]


def test_logging_out_everywhere_ends_those_of_other_browsers_and_of_nobody_else(
    login: LoginUnderTest,
):
    one, two, other = login.browser(), login.browser(), login.browser()
    one.log_in("olga")
    two.log_in("olga")
    other.log_in("vera")
    one.log_out(everywhere="yes")
    assert (one.role, two.role, other.role) == (None, None, "viewer")


def test_an_operator_logs_everybody_out(login: LoginUnderTest):
    one, other = login.browser(), login.browser()
    one.log_in("olga")
    other.log_in("vera")
    assert login.command("sessions", "end", "--user", "vera") == 0
    assert (one.role, other.role) == ("operator", None)
    assert login.command("sessions", "end") == 0
    assert one.role is None


def test_sessions_outlive_a_restart_of_the_service(login: LoginUnderTest):
    browser = login.browser()
    browser.log_in("olga")
    browser._login = LoginUnderTest(login.state)
    assert browser.role == "operator"


def test_a_removed_user_is_out_and_a_new_password_ends_sessions(
    login: LoginUnderTest, monkeypatch: pytest.MonkeyPatch
):
    olga, vera = login.browser(), login.browser()
    olga.log_in("olga")
    vera.log_in("vera")
    assert login.command("users", "remove", "vera") == 0
    assert (olga.role, vera.role) == ("operator", None)
    login.add_user("vera", "operator")
    assert vera.role is None
    assert login.command("users", "password", "olga", "--generate") == 0
    assert olga.role is None


def test_a_users_file_that_cannot_be_read_lets_nobody_in(login: LoginUnderTest):
    browser = login.browser()
    browser.log_in("olga")
    path = login.state / "users.json"
    path.write_text(path.read_text().replace("operator", "emperor"))
    assert browser.role is None
    assert "cannot be" in login.lines[-1]["error"]


# ---- forms of other pages ----


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://etl.example.com"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": URL}, False),
    ],
)
def test_a_form_of_another_page_logs_nobody_in_or_out(
    login: LoginUnderTest, headers: dict[str, str], token: bool
):
    browser = login.browser()
    fields = {"name": "olga", "password": "correct horse battery"}
    fields |= {"form_token": browser.form_token()} if token else {"form_token": "x"}
    answer = browser.request("POST", "/-/login", data=fields, headers=headers)
    assert (answer.status_code, "__Host-tranship" in browser.cookies) == (400, False)
    victim = login.browser()
    victim.log_in("olga")
    fields = {"form_token": victim.form_token("/-/account") if token else "x"}
    assert victim.request("POST", "/-/logout", data=fields, headers=headers).status_code == 400
    assert victim.role == "operator"


def test_a_token_of_another_browser_is_none(login: LoginUnderTest):
    fields = {"name": "olga", "password": "x", "form_token": login.browser().form_token()}
    browser = login.browser()
    browser.form_token()
    assert browser.request("POST", "/-/login", data=fields).status_code == 400


@pytest.mark.parametrize(
    "body", [b"x" * 20_000, b"\xff=\xff", b"&".join([b"a=1"] * 20), b"", b"name=a&name=b"]
)
def test_a_body_that_is_no_form_of_ours_is_refused(login: LoginUnderTest, body: bytes):
    browser = login.browser()
    browser.form_token()
    answer = browser.request("POST", "/-/login", content=body, headers={"origin": URL})
    assert answer.status_code == 400


def test_what_is_shown_is_escaped_and_runs_nothing(login: LoginUnderTest):
    answer = login.browser().get("/-/login", params={"next": "/<script>"})
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


# ---- who must wait ----


def test_after_five_wrong_tries_the_right_password_waits_too(login: LoginUnderTest):
    browser = login.browser()
    for _ in range(5):
        assert browser.log_in("olga", "wrong").status_code == 401
    answer = browser.log_in("olga")
    assert (answer.status_code, browser.role) == (429, None)
    assert "Wait 15 minutes" in answer.text
    assert login.events()[-1] == "login locked"
    assert login.browser("10.9.9.9").log_in("olga").status_code == 303
    assert browser.log_in("vera").status_code == 303


def test_nobody_learns_from_waiting_which_names_there_are(login: LoginUnderTest):
    browser = login.browser()
    for _ in range(5):
        assert browser.log_in("nobody", "wrong").status_code == 401
    assert browser.log_in("nobody", "wrong").status_code == 429


def test_an_operator_unlocks_a_name(login: LoginUnderTest):
    browser = login.browser()
    for _ in range(5):
        browser.log_in("olga", "wrong")
    assert login.command("users", "unlock", "olga") == 0
    assert browser.log_in("olga").status_code == 303


def test_addresses_of_one_ipv6_household_are_one(login: LoginUnderTest):
    for number in range(5):
        assert login.browser(f"2001:db8::{number}").log_in("olga", "wrong").status_code == 401
    assert login.browser("2001:db8::ffff").log_in("olga").status_code == 429
    assert login.browser("2001:db8:1::1").log_in("olga").status_code == 303


def test_the_service_is_well_while_its_state_can_be_read(login: LoginUnderTest):
    assert login.browser().get("/-/health").status_code == 200
    assert login.browser().get("/-/account").headers["location"] == "/-/login"
