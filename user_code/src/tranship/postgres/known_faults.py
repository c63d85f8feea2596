"""What Postgres's errors mean that pass: by SQLSTATE, or by words where one state stands for many faults."""

from tranship.errors import ConnectionFailedError, TransientError, UnreachableError
from tranship.known_faults import KnownFault

_CODES = "https://www.postgresql.org/docs/current/errcodes-appendix.html"
_ATTRIBUTES = (
    "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS"
)
_STANDBY = "https://www.postgresql.org/docs/current/hot-standby.html"
_STARTING = "https://www.postgresql.org/docs/current/server-start.html"
_LIMITS = "https://www.postgresql.org/docs/current/runtime-config-connection.html"
_POOLER = "https://www.pgbouncer.org/config.html"
_SOURCE = "https://github.com/postgres/postgres/blob/master/src/backend/access/common/relation.c"

READ_ONLY_REMEDY = (
    "After a failover the old address may lead to a standby: name all hosts (host: db1,db2), and the one that "
    "takes writes is looked for. If it stays, default_transaction_read_only is on for this role or database."
)

PASSING = (
    KnownFault(("40001",), "The transaction could not be serialized with others", _CODES),
    KnownFault(("40P01",), "A deadlock was broken by ending this transaction", _CODES),
    KnownFault(("25006",), "The server takes no writes", _STANDBY, remedy=READ_ONLY_REMEDY),
    KnownFault(("25P03",), "The server ended a session that was idle in a transaction", _CODES),
    KnownFault(("25P04",), "The transaction ran into the server's transaction_timeout", _CODES),
    KnownFault(("53200",), "The server is out of memory", _CODES),
    KnownFault(
        ("53300",), "The server has no connection left", _CODES,
        remedy="Close some, raise max_connections, or run fewer steps at once.",
    ),
    KnownFault(("55P03",), "A lock could not be had in time", _CODES),
    KnownFault(
        ("57P01",), "The server is shutting down or an administrator ended the connection", _CODES
    ),
    KnownFault(("57P02",), "The server crashed and is recovering", _CODES),
    KnownFault(("57P03",), "The server is starting up", _CODES),
    KnownFault(("57P05",), "The server ended an idle session", _CODES),
    KnownFault(("72000",), "A row's old version was gone before it was read", _CODES),
    KnownFault(
        ("XX000",), "Another session dropped or replaced a table meanwhile", _SOURCE,
        words=r"(could|can) ?not open relation with oid|cache lookup failed for \w+",
    ),
    KnownFault(
        ("XX000",), "Another session altered the same object meanwhile", _SOURCE,
        words=r"tuple concurrently (updated|deleted)",
    ),
)  # fmt: skip
"""A statement failed, and the whole write may be repeated."""

_UNANSWERED_REMEDY = "Check host and port, and that the server is running."


def _unanswered(codes: tuple[str, ...], words: str, source: str, remedy: str = "") -> KnownFault:
    return KnownFault(
        codes, "Postgres did not answer at {where}", source, words=words,
        remedy=remedy or _UNANSWERED_REMEDY, kind=UnreachableError,
    )  # fmt: skip


REFUSALS = (
    KnownFault(
        ("28P01",), "Postgres at {where} refused the password of user {user!r}", _CODES,
        words=r"password authentication failed|no password supplied",
        remedy="Check user and password.", kind=ConnectionFailedError,
    ),
    KnownFault(
        ("28000",), "Postgres at {where} has no role {user!r}", _CODES,
        words=r'role "[^"]*" does not exist', remedy="Check the user name.",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("28000",), "Postgres at {where} does not let {user!r} log in", _CODES,
        words=r'role "[^"]*" is not permitted to log in',
        remedy="An administrator runs: alter role {quoted_user} login;",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("3D000",), "Postgres at {where} has no database {database!r}", _CODES,
        words=r'database "[^"]*" does not exist', remedy="Check the database name, or create it.",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("55000",), "The database {database!r} at {where} takes no connections", _CODES,
        words=r'database "[^"]*" is not currently accepting connections',
        remedy="An administrator runs: alter database {quoted_database} allow_connections true;",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("42501",), "User {user!r} may not connect to the database {database!r} at {where}", _CODES,
        words=r'permission denied for database "',
        remedy="Its owner runs: grant connect on database {quoted_database} to {quoted_user};",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("28000",), "Postgres at {where} lets no one in as {user!r} from here to {database!r}", _CODES,
        words=r"no pg_hba\.conf entry",
        remedy="Ask its administrator for an entry in pg_hba.conf, or change sslmode.",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("08006",), "Postgres at {where} does not encrypt, and sslmode is {sslmode!r}{default}", _LIMITS,
        words=r"does not support SSL",
        remedy="Turn SSL on at the server. Where the network between is trusted, set sslmode to disable: the rows and "
        "the password then travel in clear.",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("08006",), "The certificate of Postgres at {where} could not be verified", _LIMITS,
        words=r"certificate|SSL error",
        remedy="Set sslrootcert to the file of the authority that signed it, and host to the name in it. "
        "sslmode: require would encrypt without knowing whose server it is.",
        kind=ConnectionFailedError,
    ),
    KnownFault(
        ("53300",), "Postgres at {where} has no connection left", _LIMITS,
        words=r"too many clients|connection slots|too many connections|no more connections allowed",
        remedy="Close some, raise max_connections, or run fewer steps at once.",
        kind=TransientError,
    ),
    KnownFault(
        ("08P01", "58000"), "The pooler in front of Postgres at {where} gave no connection in time", _POOLER,
        words=r"query_wait_timeout|server login (failed|has been failing)|server conn crashed|"
        r"pgbouncer cannot connect to server",
        remedy="Look at the pooler's log and its size.", kind=UnreachableError,
    ),
    _unanswered(
        ("08001",), r"session is (not )?read-only|server is (not )?in hot standby mode", _ATTRIBUTES,
        "None of the hosts takes writes: a failover may be under way. Check host and target_session_attrs.",
    ),
    _unanswered(
        ("57P03",),
        r"starting up|shutting down|recovery mode|not (yet )?accepting connections|"
        r"consistent recovery state has not been|hot standby mode is disabled",
        _STARTING,
    ),
    _unanswered(
        ("57P01", "57P02"), r"terminating connection|due to administrator command", _CODES
    ),
    _unanswered(
        ("08001", "08006"),
        r"refused|timeout expired|timed out|could not translate|no route to host|network is unreachable|"
        r"no such file or directory|server closed the connection|reset by peer|could not receive data|"
        r"could not send data|host is down|temporary failure in name resolution",
        _LIMITS,
    ),
)  # fmt: skip
"""No connection was made. The driver gives no state at this point, so the server's (English) words decide."""
