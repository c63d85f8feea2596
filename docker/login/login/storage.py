"""The service's state directory: a SQLite file with sessions and failed tries, and the key that signs cookies.

The commands (`python -m login users ...`) are processes of their own beside the service, so all that is shared is in files.
"""

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

_TABLES = """
create table if not exists sessions (
    token_hash text primary key,
    user text not null,
    role text not null,
    source text not null,
    credential text not null,
    created real not null,
    seen real not null
);
create index if not exists sessions_user on sessions (user);
create table if not exists failures (name_hash text not null, address text not null, at real not null);
create index if not exists failures_at on failures (at);
create table if not exists known_addresses (
    name_hash text not null, address text not null, at real not null, primary key (name_hash, address)
);
"""
BUSY_SECONDS = 5


def open_database(directory: Path) -> sqlite3.Connection:
    """Open the state's database, and make it where there is none."""
    connection = sqlite3.connect(
        directory / "state.sqlite",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # Used by one event loop; the threads that check passwords do not touch it.
        check_same_thread=False,
    )
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.executescript(_TABLES)
    return connection


def signing_key(directory: Path) -> str:
    """The key of the cookie that carries a login under way; made once."""
    path = directory / "signing-key"
    if not path.exists():
        # Linked into place whole: of two that start at once, one makes it and both read it.
        draft = directory / f"signing-key.{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()
