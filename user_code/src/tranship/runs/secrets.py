"""Secrets as files: put them into the environment of one process, so that no `docker inspect` shows them.

    python -m tranship.runs.secrets run --from /run/secrets/data -- dagster-webserver ...
    python -m tranship.runs.secrets ensure --in /run/secrets/data SQLSERVER_PASSWORD POSTGRES_PASSWORD

A directory of secrets (a named volume, usually) holds one file for each, named like the variable it
becomes. Standard library only: this starts every container of ours that needs a password.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class SecretsError(Exception):
    """A directory of secrets is missing or cannot be used; the text never holds a secret."""


def read_secrets(directory: Path) -> dict[str, str]:
    """Read a directory of secrets.

    Args:
        directory: One file for each secret, named like the variable; one closing line break is dropped.
            Files with other names (`README`, `..data` of Kubernetes) are passed over.

    Returns:
        The secrets by name.

    Raises:
        SecretsError: The directory or a file in it cannot be read.
    """
    secrets: dict[str, str] = {}
    try:
        for file in sorted(directory.iterdir()):
            if _NAME.fullmatch(file.name) and file.is_file():
                secrets[file.name] = file.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsError(
            f"The secrets in {directory} cannot be read: {type(error).__name__}. Mount the volume there and"
            f" make its files readable for user {os.getuid()}."
        ) from None
    return secrets


def add_secrets(environment: MutableMapping[str, str], directories: Iterable[Path]) -> None:
    """Add the secrets of directories to an environment; a variable that is set already stays as it is."""
    for directory in directories:
        for name, value in read_secrets(directory).items():
            environment.setdefault(name, value)


def ensure_secrets(
    directory: Path, names: Iterable[str], given: Mapping[str, str], *, mode: int = 0o444
) -> list[str]:
    """Write the secrets that a directory lacks: the given value where there is one, else a random one.

    Args:
        directory: Where the files go; it is made if missing.
        names: Names of the secrets.
        given: Values by name, the process environment usually; an empty value counts as none.
        mode: Permissions of the files. The volume, not the mode, says who may read: each service mounts
            only the volumes it needs, under a user id of its own.

    Returns:
        The names that were written. What is there already is never changed.

    Raises:
        SecretsError: A name cannot be an environment variable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for name in names:
        if not _NAME.fullmatch(name):
            raise SecretsError(f"{name!r} is not the name of an environment variable.")
        if (directory / name).exists():
            continue
        write_secret(directory / name, given.get(name) or new_password(), mode=mode)
        written.append(name)
    return written


def new_password() -> str:
    """A random one, with upper and lower case, digit and sign: what SQL Server's password policy asks for."""
    # Imported here: only what makes secrets needs it, and it takes a third of the shim's start.
    import secrets

    return f"{secrets.token_urlsafe(24)}-aA1"


def write_secret(file: Path, value: str, *, mode: int = 0o444) -> None:
    """Write a secret in one step: a service that starts meanwhile finds the whole of it, or what was there before.

    Args:
        file: Where to; its directory is there.
        value: What to write.
        mode: Permissions; see `ensure_secrets`.
    """
    import tempfile

    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".new-", delete=False) as new:
        new.write(value)
    Path(new.name).chmod(mode)
    Path(new.name).rename(file)


def become(command: Sequence[str]) -> int:
    """Put a command into this process's place; returns only if it cannot be started, with the exit code for that."""
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127


def main(arguments: list[str]) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tranship.runs.secrets")
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="run a command with the secrets in its environment")
    run.add_argument("--from", dest="directories", action="append", type=Path, required=True)
    run.add_argument("command", nargs="+")
    ensure = actions.add_parser("ensure", help="write the secrets that a directory lacks")
    ensure.add_argument("--in", dest="directory", type=Path, required=True)
    ensure.add_argument("names", nargs="+")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.action == "ensure":
            written = ensure_secrets(chosen.directory, chosen.names, os.environ)
            sys.stdout.write(f"wrote {', '.join(written) or 'nothing: all are there'}\n")
            return 0
        add_secrets(os.environ, chosen.directories)
    except SecretsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return become(chosen.command)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
