"""The gateway's own connection to Postgres: installs the system views, keeps users and load errors.

It is apart from the clients' connections because what it writes must outlive a client's rollback.
All calls block; the server runs them in a thread.
"""

import hashlib
import re
import threading
from collections.abc import Sequence
from importlib import resources

import psycopg2
import psycopg2.extensions
from psycopg2 import sql as composed

from standins.redshift.backend import Target
from standins.redshift.errors import LoadError
from standins.redshift.statements import literal

#: Every start takes a fresh block of query ids, so that ids grow across restarts.
IDS_PER_BLOCK = 1_000_000
_INSTALL_LOCK = 7_355_001


def load_error_statement(
    user: str, query_id: int, session_id: int, table_id: int, error: LoadError
) -> str:
    """SQL that adds one row to STL_LOAD_ERRORS."""
    before = [user, query_id, 0, session_id, table_id]
    after = [error.file, error.line, error.column, error.column_type, error.column_length]
    after += [error.position, error.raw_line[:1024], error.value[:1024], error.code]
    known = ", ".join(_value(v) for v in before)
    rest = ", ".join(_value(v) for v in [*after, error.reason[:512]])
    return (
        "insert into redshift_standin.load_errors values "
        f"({known}, now() at time zone 'UTC', {rest})"
    )


def session_statement(user: str) -> str:
    """SQL that notes, in a session that begins, whom it serves: what STV_SESSIONS shows."""
    return f"""insert into redshift_standin.sessions
        select a.pid, a.backend_start, {literal(user)}
        from pg_catalog.pg_stat_activity a where a.pid = pg_catalog.pg_backend_pid()
        on conflict (process)
            do update set started = excluded.started, user_name = excluded.user_name"""


def _value(value: str | int) -> str:
    """A literal; Postgres' text cannot hold a zero byte."""
    return str(value) if isinstance(value, int) else literal(value.replace("\0", ""))


class Catalogue:
    """System views, users and load errors of one database."""

    def __init__(self, target: Target) -> None:
        self._lock = threading.Lock()
        self._connection = psycopg2.connect(
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            dbname=target.database,
            sslmode=target.sslmode,
            application_name="redshift stand-in",
            options="-c log_min_error_statement=panic -c log_statement=none",
        )
        self._connection.autocommit = True

    def _run(
        self, statement: str | composed.Composable, values: Sequence[object] = ()
    ) -> list[tuple]:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def install(self) -> int:
        """Create views and functions where they are missing or of another version.

        Returns:
            The first query id of this start.
        """
        script = (resources.files("standins.redshift") / "catalogue.sql").read_text()
        version = hashlib.sha256(script.encode()).hexdigest()
        names = re.findall(r"^create view (\S+)", script, re.MULTILINE)
        drops = "".join(f"drop view if exists {name} cascade;" for name in names)
        create_marker = """
            create schema if not exists redshift_standin;
            create table if not exists redshift_standin.installed (version text primary key);
        """
        self._run("select pg_advisory_lock(%s)", (_INSTALL_LOCK,))
        try:
            self._run(create_marker)
            known = self._run("select version from redshift_standin.installed")
            if known != [(version,)]:
                self._run(
                    f"set allow_system_table_mods = on; begin; {drops} {script};"
                    f" grant select on {', '.join(names)} to public;"
                    " delete from redshift_standin.installed; commit;"
                )
                self._run("insert into redshift_standin.installed values (%s)", (version,))
        finally:
            self._run("select pg_advisory_unlock(%s)", (_INSTALL_LOCK,))
        return self._run("select nextval('redshift_standin.query_block')")[0][0] * IDS_PER_BLOCK

    def ensure_admin(self, user: str, password: str) -> None:
        """Create or update the user that is Redshift's admin, with its static password."""
        verb = "alter" if self.password_hash(user) is not None else "create"
        name = composed.Identifier(user)
        self._run(
            composed.SQL(verb + " role {} login superuser password {}").format(
                name, composed.Literal(password)
            )
        )

    def ensure_user(self, user: str) -> None:
        """Create a user without a password, as a login with AutoCreate does."""
        if self.password_hash(user) is None:
            self._run(composed.SQL("create role {} login").format(composed.Identifier(user)))

    def has_database(self, name: str) -> bool:
        """Whether Postgres has a database of this name."""
        return bool(self._run("select 1 from pg_database where datname = %s", (name,)))

    def password_hash(self, user: str) -> str | None:
        """What Postgres keeps of a user's password; empty if it has none, None without the user."""
        rows = self._run(
            "select coalesce(rolpassword, '') from pg_authid where rolname = %s", (user,)
        )
        return rows[0][0] if rows else None

    def record_load_errors(
        self, user: str, query_id: int, session_id: int, table_id: int, errors: Sequence[LoadError]
    ) -> None:
        """Write rows of STL_LOAD_ERRORS; they stay although the client's transaction aborts."""
        for error in errors:
            self._run(load_error_statement(user, query_id, session_id, table_id, error))

    def record_query(self, user: str, query_id: int, session_id: int, kind: str, text: str) -> None:
        """Note that a COPY or UNLOAD began."""
        self._run(
            """
            insert into redshift_standin.queries
            values (%s, %s, %s, %s, 'running', now() at time zone 'UTC', null, null, 0, %s)
            """,
            (user, query_id, session_id, kind, text[:4000]),
        )

    def record_end(self, query_id: int, rows: int, error: str | None) -> None:
        """Note how it ended."""
        self._run(
            """
            update redshift_standin.queries
            set status = %s, end_time = now() at time zone 'UTC', error_message = %s,
                returned_rows = %s
            where query_id = %s
            """,
            ("failed" if error else "success", error, rows, query_id),
        )

    def record_files(
        self, query_id: int, table_id: int, files: Sequence[tuple[str, int, int]]
    ) -> None:
        """Note which files a COPY read: (url, rows, bytes)."""
        for file in files:
            self._run(
                """
                insert into redshift_standin.loaded_files
                values (%s, %s, %s, %s, %s, now() at time zone 'UTC')
                """,
                (query_id, table_id, *file),
            )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
