"""What is kept: sessions and their ends, wrong tries, the users file, and commands that two run at once."""

import asyncio
import json
import stat
import threading
from pathlib import Path

import pytest

from login.attempts import MOST_BY_ADDRESS, MOST_BY_NAME, WINDOW_SECONDS, Attempts
from login.commands import main as command
from login.passwords import BusyError, PasswordCheck, UnfitPasswordError, hash_password, is_hash
from login.sessions import Session, Sessions
from login.storage import open_database, signing_key
from login.users import User, UsersError, UsersFile

OLGA = Session("olga", "operator", "users", "c")
HOUR = 3600.0
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b27h1XGNjxDH5oWDPlZDHDYzTc"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Sessions:
    return Sessions(
        open_database(tmp_path), idle_seconds=HOUR, absolute_seconds=12 * HOUR, clock=clock
    )


@pytest.fixture
def attempts(tmp_path: Path, clock: Clock) -> Attempts:
    return Attempts(open_database(tmp_path), clock)


# ---- sessions ----


def test_a_session_that_is_used_lasts_until_its_absolute_end(sessions: Sessions, clock: Clock):
    token = sessions.begin(OLGA)
    for _ in range(23):
        clock.now += HOUR / 2
        assert sessions.find(token) == OLGA
    clock.now += HOUR / 2
    assert sessions.find(token) is None


def test_a_session_that_is_not_used_ends(sessions: Sessions, clock: Clock):
    token = sessions.begin(OLGA)
    clock.now += HOUR
    assert sessions.find(token) is None
    clock.now -= HOUR
    assert sessions.find(token) is None


def test_a_session_of_the_future_is_none(sessions: Sessions, clock: Clock):
    token = sessions.begin(OLGA)
    clock.now -= 60
    assert sessions.find(token) == OLGA
    clock.now -= HOUR
    assert sessions.find(token) is None


def test_old_sessions_are_forgotten(sessions: Sessions, clock: Clock):
    sessions.begin(OLGA)
    clock.now += 2 * HOUR
    sessions.begin(OLGA)
    assert sessions.end_all() == 1


@pytest.mark.parametrize("token", ["", "x", "a" * 100_000, "'; drop table sessions; --"])
def test_another_token_is_nobodys(sessions: Sessions, token: str):
    sessions.begin(OLGA)
    assert sessions.find(token) is None


# ---- wrong tries ----


def test_waiting_ends(attempts: Attempts, clock: Clock):
    for _ in range(5):
        assert not attempts.must_wait("olga", "a")
        attempts.failed("olga", "a")
    assert attempts.must_wait("olga", "a")
    clock.now += WINDOW_SECONDS
    assert not attempts.must_wait("olga", "a")


def test_one_address_may_not_try_every_name(attempts: Attempts):
    for number in range(MOST_BY_ADDRESS):
        assert not attempts.must_wait(f"name {number}", "a")
        attempts.failed(f"name {number}", "a")
    assert attempts.must_wait("another", "a")
    assert not attempts.must_wait("another", "b")


def test_many_addresses_may_not_try_one_name_and_cannot_lock_its_owner_out(
    attempts: Attempts, clock: Clock
):
    attempts.succeeded("olga", "home")
    for number in range(MOST_BY_NAME):
        attempts.failed("olga", f"bot {number}")
    assert attempts.must_wait("olga", "another bot")
    assert not attempts.must_wait("olga", "home")
    assert not attempts.must_wait("vera", "another bot")
    clock.now += WINDOW_SECONDS
    assert not attempts.must_wait("olga", "another bot")


def test_a_right_password_forgets_the_wrong_ones(attempts: Attempts):
    for _ in range(4):
        attempts.failed("olga", "a")
    attempts.succeeded("olga", "a")
    for _ in range(4):
        attempts.failed("olga", "a")
    assert not attempts.must_wait("olga", "a")


def test_a_clock_that_goes_back_locks_nobody_out_for_good(attempts: Attempts, clock: Clock):
    for _ in range(MOST_BY_NAME):
        attempts.failed("olga", "a")
    clock.now -= 365 * 24 * HOUR
    assert not attempts.must_wait("olga", "a")
    attempts.failed("olga", "a")
    clock.now += 365 * 24 * HOUR
    assert not attempts.must_wait("olga", "a")


# ---- users ----


def test_the_file_has_hashes_and_is_for_its_owner_alone(tmp_path: Path):
    UsersFile(tmp_path).add(User("olga", "operator", HASH))
    path = tmp_path / "users.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "users": [{"name": "olga", "role": "operator", "password_hash": HASH}]
    }


def test_the_service_sees_what_a_command_changes(tmp_path: Path):
    service, other = UsersFile(tmp_path), UsersFile(tmp_path)
    assert service.find("olga") is None
    other.add(User("olga", "viewer", HASH))
    assert service.find("olga") == User("olga", "viewer", HASH)
    other.remove("olga")
    assert service.find("olga") is None


def test_of_two_who_add_users_at_once_none_is_lost(tmp_path: Path):
    def add(prefix: str) -> None:
        for number in range(20):
            UsersFile(tmp_path).add(User(f"{prefix}{number}", "viewer", HASH))

    threads = [threading.Thread(target=add, args=(prefix,)) for prefix in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(UsersFile(tmp_path).all()) == 60


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 129, "a\n", "jörg", "a:b", "../a", "<b>"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UsersError, match="is no name"):
        UsersFile(tmp_path).add(User(name, "viewer", HASH))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no users file"),
        ("[]", "is no users file"),
        ('{"users": [{"name": "a"}]}', "is no users file"),
        (json.dumps({"users": [{"name": "a", "role": "viewer", "password_hash": "md5"}]}), "cannot be"),
        (json.dumps({"users": [{"name": "a", "role": "root", "password_hash": HASH}]}), "cannot be"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, text: str, why: str):
    (tmp_path / "users.json").write_text(text)
    with pytest.raises(UsersError, match=why):
        UsersFile(tmp_path).all()


# ---- commands ----


def test_users_are_added_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    environment = {"LOGIN_STATE": str(tmp_path)}
    assert command(["users", "add", "olga", "--role", "operator", "--generate"], environment) == 0
    assert command(["users", "add", "vera", "--generate"], environment) == 0
    passwords = capsys.readouterr().out.split()
    assert len(set(passwords)) == 2
    assert all(len(password) == 24 for password in passwords)
    assert command(["users", "list"], environment) == 0
    assert capsys.readouterr().out == "olga\toperator\nvera\tviewer\n"
    assert command(["users", "add", "vera", "--generate"], environment) == 1
    assert "There is a user 'vera'" in capsys.readouterr().err
    assert command(["users", "remove", "vera"], environment) == 0
    assert command(["users", "remove", "vera"], environment) == 1
    assert "There is no user 'vera'. There are: olga." in capsys.readouterr().err
    assert command(["users", "password", "vera", "--generate"], environment) == 1


@pytest.mark.parametrize("password", ["short", "x" * 1025, ""])
def test_a_password_has_a_length(password: str):
    with pytest.raises(UnfitPasswordError, match="12 to 1024 characters"):
        hash_password(password)


def test_hashes_are_argon2id():
    assert is_hash(hash_password("correct horse battery"))
    assert not is_hash(HASH.replace("argon2id", "argon2i"))
    assert not is_hash("$2b$12$abc")


def test_nobody_waits_in_a_line_without_end():
    async def ask_many() -> list[object]:
        check = PasswordCheck()
        asked = [check.is_right("no hash", "x") for _ in range(40)]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(ask_many())
    assert sum(isinstance(answer, BusyError) for answer in answers) == 8
    assert answers.count(False) == 32


def test_the_key_is_made_once_also_by_two_at_once(tmp_path: Path):
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.append(signing_key(tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert stat.S_IMODE((tmp_path / "signing-key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["signing-key"]


def test_a_check_without_a_hash_is_never_right():
    check = PasswordCheck()
    assert not asyncio.run(check.is_right(None, "nobody's password, which is right for nobody"))
