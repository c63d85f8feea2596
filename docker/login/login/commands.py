"""The commands: users, their passwords and sessions. `./stack user` calls them in the service's container."""

import argparse
import getpass
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from login.attempts import Attempts
from login.passwords import UnfitPasswordError, hash_password
from login.roles import ROLES, VIEWER
from login.sessions import Sessions
from login.storage import open_database
from login.users import User, UsersError, UsersFile


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; 1 and a sentence when it cannot be done."""
    options = parser().parse_args(arguments)
    state = Path(environment.get("LOGIN_STATE") or "/var/lib/login")
    try:
        return options.run(state, options)
    except (UsersError, UnfitPasswordError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _add(state: Path, options: argparse.Namespace) -> int:
    users = UsersFile(state)
    if options.name in users.all():
        raise UsersError(f"There is a user {options.name!r}: use `password`, or remove it first.")
    password = _password(options)
    users.add(User(options.name, options.role, hash_password(password)))
    _tell(options, password)
    return 0


def _set_password(state: Path, options: argparse.Namespace) -> int:
    users = UsersFile(state)
    if options.name not in users.all():
        raise UsersError(f"There is no user {options.name!r}.")
    password = _password(options)
    users.set_password(options.name, hash_password(password))
    Attempts(open_database(state)).forgive(options.name)
    _tell(options, password)
    return 0


def _remove(state: Path, options: argparse.Namespace) -> int:
    UsersFile(state).remove(options.name)
    return 0


def _list(state: Path, _: argparse.Namespace) -> int:
    for user in UsersFile(state).all().values():
        sys.stdout.write(f"{user.name}\t{user.role}\n")
    return 0


def _unlock(state: Path, options: argparse.Namespace) -> int:
    Attempts(open_database(state)).forgive(options.name)
    return 0


def _end_sessions(state: Path, options: argparse.Namespace) -> int:
    sessions = Sessions(open_database(state), idle_seconds=0, absolute_seconds=0)
    sys.stdout.write(f"{sessions.end_all(options.user)} sessions ended\n")
    return 0


def _password(options: argparse.Namespace) -> str:
    if options.generate:
        return secrets.token_urlsafe(18)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UsersError("These are two different passwords.")
    return password


def _tell(options: argparse.Namespace, password: str) -> None:
    if options.generate:
        sys.stdout.write(f"{password}\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m login", description=__doc__)
    groups = parser.add_subparsers(required=True)

    users = groups.add_parser("users", help="the users file").add_subparsers(required=True)
    add = users.add_parser(
        "add", help="add a user; the password is asked for, or read from standard input"
    )
    add.add_argument("name")
    add.add_argument("--role", choices=sorted(ROLES), default=VIEWER)
    add.add_argument("--generate", action="store_true", help="make a password and print it")
    add.set_defaults(run=_add)
    password = users.add_parser("password", help="set a password; ends the user's sessions")
    password.add_argument("name")
    password.add_argument("--generate", action="store_true", help="make a password and print it")
    password.set_defaults(run=_set_password)
    remove = users.add_parser("remove", help="remove a user; ends the user's sessions")
    remove.add_argument("name")
    remove.set_defaults(run=_remove)
    users.add_parser("list", help="names and roles").set_defaults(run=_list)
    unlock = users.add_parser("unlock", help="forget the wrong tries of a name")
    unlock.add_argument("name")
    unlock.set_defaults(run=_unlock)

    sessions = groups.add_parser("sessions", help="who is logged in").add_subparsers(required=True)
    end = sessions.add_parser("end", help="log everybody out, or one user")
    end.add_argument("--user")
    end.set_defaults(run=_end_sessions)
    return parser
