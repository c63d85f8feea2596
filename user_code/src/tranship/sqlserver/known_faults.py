"""What SQL Server's errors mean: by number for the reader, by words for the driver, which gives no number.

The words are those of `sys.messages` in English. A login with another default language is understood by SQLSTATE
only: what is then not recognised is shown as the server said it, and is not tried again.
"""

from tranship.errors import ConnectionFailedError, TranshipError, UnreachableError
from tranship.known_faults import KnownFault

_AZURE = "https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues"
_LIMITS = "https://learn.microsoft.com/azure/azure-sql/database/resource-limits-logical-server"
_CLIENT = (
    "https://learn.microsoft.com/dotnet/api/"
    "microsoft.data.sqlclient.sqlconfigurableretryfactory.baselinetransienterrors"
)
_WINSOCK = "https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2"
_PAGES = (
    "https://learn.microsoft.com/sql/relational-databases/errors-events/"
    "database-engine-events-and-errors-{first}-to-{last}"
)


def _engine(number: int) -> str:
    """The page of the engine's documentation that lists a number."""
    first = number // 1000 * 1000
    return _PAGES.format(first=first, last=first + 999)


def _numbered(meaning: str, number: int) -> str:
    """The sentence with the number after what it is a number of."""
    head, colon, tail = meaning.partition(": ")
    return f"{head} ({number}){colon}{tail}"


def _passes(
    number: int, meaning: str, words: str, *, remedy: str = "", source: str = ""
) -> KnownFault:
    return KnownFault(
        (str(number),), _numbered(meaning, number), source or _engine(number), words=words,
        remedy=remedy or "It may be tried again.",
    )  # fmt: skip


def _refused(number: int, meaning: str, words: str, remedy: str, source: str = "") -> KnownFault:
    return KnownFault(
        (str(number),), _numbered(meaning, number), source or _engine(number), words=words,
        remedy=remedy, kind=ConnectionFailedError,
    )  # fmt: skip


def _denied(number: int, meaning: str, words: str, remedy: str) -> KnownFault:
    return KnownFault(
        (str(number),), _numbered(meaning, number), _engine(number), words=words, remedy=remedy,
        kind=TranshipError,
    )  # fmt: skip


# More particular words come first: a refusal of a database also says that the login failed.
REFUSALS = (
    _refused(
        40615,
        "The firewall of {address} does not let this machine in",
        r"client with ip address '(?P<ip>[^']*)' is not allowed",
        "Add a firewall rule for {ip} to the server, or connect by its private endpoint.",
        _AZURE,
    ),
    _refused(
        40914,
        "A virtual network rule of {address} does not let this machine in",
        r"cannot open server .*client is not allowed to access the server",
        "Add the subnet of this machine to the server's virtual network rules.",
        _AZURE,
    ),
    _refused(
        47073,
        "{address} lets nobody in from the public network",
        r"deny public network access",
        "Connect by its private endpoint.",
        _AZURE,
    ),
    _refused(
        40532,
        "{address} does not know the server that the login names",
        r"cannot open server \S+ requested by the login",
        "Check host and user; some clients want the user as name@server.",
        _AZURE,
    ),
    _refused(
        4064,
        'The login "{user}" has a default database on {address} that it cannot open',
        r"cannot open user default database",
        "An administrator runs: alter login {quoted_user} with default_database = [master];",
    ),
    _refused(
        4060,
        'The login "{user}" cannot open the database "{database}" on {address}',
        r"cannot open database",
        "Check the database's name, and that the login has a user in it: "
        "use {quoted_database}; create user {quoted_user} for login {quoted_user};",
    ),
    _refused(
        916,
        'The login "{user}" has no user in the database "{denied}" of {address}',
        r"is not able to access the database \"(?P<denied>[^\"]*)\" under the current security context",
        "Its owner runs: use {quoted_denied}; create user {quoted_user} for login {quoted_user};",
    ),
    _refused(
        18486,
        'The login "{user}" of {address} is locked',
        r"account is currently locked out",
        "An administrator runs: alter login {quoted_user} with password = '...' unlock; then find out who "
        "tries a wrong password.",
    ),
    _refused(
        18487,
        'The password of the login "{user}" of {address} has expired',
        r"password of the account has expired",
        "Set a new one: alter login {quoted_user} with password = '...', check_expiration = off;",
    ),
    _refused(
        18488,
        'The password of the login "{user}" of {address} must be changed before its first use',
        r"password of the account must be changed",
        "Set a new one: alter login {quoted_user} with password = '...';",
    ),
    _refused(
        18470,
        'The login "{user}" of {address} is disabled',
        r"reason: the account is disabled",
        "An administrator runs: alter login {quoted_user} enable;",
    ),
    _refused(
        18452,
        "{address} does not trust the domain of this machine's account",
        r"from an untrusted domain",
        "Use a SQL Server login with user and password, or run in a domain that the server's domain trusts.",
    ),
    _passes(
        18401,
        "{address} is being upgraded and lets administrators in only",
        r"server is in script upgrade mode",
    ),
    _passes(
        18451,
        "{address} lets administrators in only at the moment",
        r"only administrators? (may|can) connect at this time",
    ),
    _passes(18461, "{address} is in single-user mode", r"server is in single user mode"),
    _refused(
        18456,
        '{address} refused the login "{user}"',
        r"login failed(?! due to timeout)",
        "Check user and password, and that the server allows SQL Server authentication.",
    ),
    _refused(
        978,
        'The database "{database}" on {address} takes connections that only read',
        r"accessible for connections when the application intent is set to read only",
        "Set application_intent to ReadOnly.",
    ),
    _refused(
        979,
        'The database "{database}" on {address} takes no connections that only read',
        r"does not allow read only connections",
        "Set application_intent to ReadWrite, or allow reading on the secondary replica.",
    ),
    _refused(
        942,
        'The database "{database}" on {address} was taken offline',
        r"cannot be opened because it is offline",
        "Its administrator runs: alter database {quoted_database} set online;",
    ),
)
"""The server answered and said no."""

DENIED = (
    _denied(
        230,
        'The user of the login "{user}" may not read the column "{column}" of {schema}.{object}',
        r"the (?P<right>\w+) permission was denied on the column '(?P<column>.+?)' of the object "
        r"'(?P<object>.+?)', database '(?P<denied>.+?)', schema '(?P<schema>.+?)'(\.|$)",
        "Its owner runs: use {quoted_denied}; grant {right} on {quoted_schema}.{quoted_object} ({quoted_column}) "
        "to {quoted_user}; or leave the column out: exclude: [{column}].",
    ),
    _denied(
        229,
        'The user of the login "{user}" may not read {schema}.{object}',
        r"the (?P<right>\w+) permission was denied on the object '(?P<object>.+?)', database "
        r"'(?P<denied>.+?)', schema '(?P<schema>.+?)'(\.|$)",
        "Its owner runs: use {quoted_denied}; grant {right} on {quoted_schema}.{quoted_object} to {quoted_user};",
    ),
    _denied(
        300,
        'The login "{user}" of {address} may not look at the server\'s state',
        r"(?P<right>view server \w*\s?state|view any \w+) permission was denied on object 'server'",
        "An administrator runs: use [master]; grant {right} to {quoted_user};",
    ),
    _denied(
        262,
        'The user of the login "{user}" lacks a right in the database "{denied}"',
        r"(?P<right>[a-z ]+?) permission (was )?denied in database '(?P<denied>[^']+)'",
        "Its owner runs: use {quoted_denied}; grant {right} to {quoted_user};",
    ),
    _denied(
        297,
        'The user of the login "{user}" may not do this in "{database}"',
        r"the user does not have permission to perform this action",
        "For what shows the state of a database, its owner runs: use {quoted_database}; "
        "grant view database state to {quoted_user};",
    ),
)
"""The login is in, and lacks a right."""

PASSING = (
    _passes(1205, "Deadlock: the server chose this query as the victim", r"was deadlocked on|serialization failure"),
    _passes(3960, "Update conflict: a row changed under snapshot isolation", r"aborted due to update conflict"),
    _passes(
        3961,
        "A table was altered while it was read under snapshot isolation",
        r"snapshot isolation transaction failed .* modified by a ddl statement",
    ),
    _passes(
        3958,
        "A row's version was gone before it was read",
        r"requested versioned row was not found",
        remedy="It may be tried again; if it keeps failing, tempdb is too small for the rows' versions.",
    ),
    _passes(
        3959,
        "The store of row versions is full",
        r"version store is full",
        remedy="It may be tried again; if it keeps failing, tempdb is too small for the rows' versions.",
    ),
    _passes(3966, "The transaction was ended because the store of row versions was shrunk", r"when accessing version store"),
    _passes(601, "Rows moved under a read without locks", r"could not continue scan with nolock"),
    _passes(596, "The session was ended by an administrator", r"session is in the kill state"),
    _passes(615, "The table's object was gone from the server's cache", r"could not find database table id|could not find database id"),
    _passes(617, "A work table was missing an entry", r"not found in the hash table during attempt to unhash"),
    _passes(669, "A row was inconsistent while it was read", r"row object is inconsistent"),
    _passes(701, "The server has no memory for this query", r"insufficient system memory"),
    _passes(802, "The server's buffer pool is full", r"insufficient memory available in the buffer pool"),
    _passes(8628, "The server had no time to plan this query", r"time ?out occurred while waiting to optimize the query"),
    _passes(8645, "The server had no memory for this query in time", r"timeout occurred while waiting for memory resources"),
    _passes(8651, "The server has less memory than this query asks for", r"could not perform the (requested )?operation because the minimum query memory is not available"),
    _passes(1203, "A lock was lost by a timing fault of the server", r"attempted to unlock a resource it does not own"),
    _passes(1204, "The server has no lock left", r"cannot obtain a lock resource at this time"),
    _passes(1221, "Locks were lost by a timing fault of the server", r"release a group of locks that are not currently held"),
    _passes(1222, "A lock was not granted in time", r"lock request time ?out"),
    _passes(921, 'The database "{database}" has not been recovered yet', r"has not been recovered yet"),
    _passes(922, 'The database "{database}" is being recovered', r"is being recovered"),
    _passes(924, 'The database "{database}" is in single-user mode, and somebody is in it', r"can only have one user at a time"),
    _passes(927, 'The database "{database}" is being restored', r"is in the middle of a restore"),
    _passes(952, 'The database "{database}" is in transition', r"is in transition\. try the statement later"),
    _passes(976, 'The database "{database}" cannot be queried on this replica at the moment', r"is currently not accessible for queries"),
    _passes(981, 'The secondary replica of "{database}" is being initialized', r"recovery of the database is in progress|has not received the initial log"),
    _passes(982, "No secondary replica can be read at the moment", r"no online secondary replicas are enabled for read-only access"),
    _passes(983, 'The database "{database}" has no role in its availability group at the moment', r"database replica is not in the primary or secondary role"),
    _passes(4221, "The replica waits for row versions before it lets anybody read", r"login to read-secondary failed due to long wait"),
    _passes(41301, "Another transaction of a memory table was aborted", r"previous transaction that the current transaction took a dependency on"),
    _passes(41302, "A row of a memory table was changed meanwhile", r"attempted to update a record that has been updated since"),
    _passes(41305, "What was read of a memory table was changed meanwhile", r"repeatable read validation failure"),
    _passes(41325, "What was read of a memory table was changed meanwhile", r"serializable validation failure"),
    _passes(41839, "A transaction of a memory table waits for too many others", r"maximum number of commit dependencies"),
    _passes(40501, "The server is busy", r"the service is currently busy\. retry the request after", source=_AZURE),
    _passes(49918, "The server has no resources for the request", r"cannot process request\. not enough resources", source=_AZURE),
    _passes(49919, "Too many databases of the subscription are being created or changed", r"too many create or update operations in progress", source=_AZURE),
    _passes(49920, "The subscription has too many operations under way", r"too many operations in progress", source=_AZURE),
    _passes(40197, "The service had to give the request up", r"encountered an error processing your request", source=_AZURE),
    _passes(40540, "The service gave the transaction up while it moved", r"error code:? 40540|aborted as database is moved", source=_AZURE),
    _passes(40613, 'The database "{database}" is not available at the moment', r"is not currently available", source=_AZURE),
    _passes(10928, "The database has reached its limit of sessions or requests", r"the \w+ limit for the database is .* has been reached", source=_LIMITS),
    _passes(10929, "The server is too busy to give the database more than its guarantee", r"request minimum guarantee is|too busy to support requests", source=_LIMITS),
    _passes(10936, "The elastic pool has reached its limit of sessions or requests", r"the \w+ limit for the elastic pool is", source=_LIMITS),
    _passes(42108, "The SQL pool is paused", r"can not connect to the sql pool since it is paused", source=_CLIENT),
    _passes(42109, "The SQL pool is warming up", r"the sql pool is warming up", source=_CLIENT),
    _passes(6005, "The server is shutting down", r"shutdown is in progress"),
    _passes(17142, "The server is paused", r"service has been paused"),
    _passes(17187, "The server is not ready yet", r"not ready to accept new client connections"),
    _passes(17188, "The server is shutting down", r"cannot accept new connections,? because it is shutting down"),
    _passes(17197, "The server did not answer the login in time", r"login failed due to timeout"),
    _passes(17809, "The server has no connection left", r"maximum number of '?\d*'? ?(user )?connections .*(already been opened|has been reached)"),
    _passes(17830, "The server did not finish the login in time", r"network error code 0x[0-9a-f]+ occurred while establishing a connection"),
)  # fmt: skip
"""The server answered that the same request may succeed later."""

BROKEN = (
    _passes(10053, "The connection to {address} was broken off by this machine", r"error code 0x2745\b|software in your host machine", source=_WINSOCK),
    _passes(10054, "The connection to {address} was lost while {doing}", r"error code 0x2746\b|forcibly closed by the remote host|sqlstate code: 10054", source=_WINSOCK),
    _passes(10060, "{address} did not answer in time", r"error code 0x274c\b|did not properly respond after a period of time", source=_WINSOCK),
    _passes(64, "The connection to {address} was lost while {doing}", r"error code 0x40\b|specified network name is no longer available", source=_CLIENT),
    _passes(121, "The connection to {address} was lost while {doing}", r"error code 0x79\b|semaphore timeout period has expired", source=_CLIENT),
    _passes(233, "{address} closed the connection during the login", r"error code 0xe9\b|no process is on the other end of the pipe", source=_CLIENT),
)  # fmt: skip
"""The network's errors, by the numbers that Windows gives them; the driver uses those on Linux too."""

GONE = KnownFault(
    ("08S01", "08003", "08007", "08S02"),
    "The connection to {address} was lost while {doing}",
    "https://learn.microsoft.com/sql/odbc/reference/appendixes/appendix-a-odbc-error-codes",
    words=(
        r"communication link failure|connection not open|connection failure during transaction|"
        r"sqlstate code: 08s02|tcp provider: error code|connection is broken|connection is closed"
    ),
    remedy="It may be tried again; if it keeps failing, look at the server's log.",
)
TIMED_OUT = KnownFault(
    ("HYT00",),
    "The query did not finish within the query timeout",
    "https://learn.microsoft.com/sql/odbc/reference/appendixes/appendix-a-odbc-error-codes",
    words=r"timeout expired",
    remedy="It may be tried again; raise query_timeout_seconds if the query needs longer.",
)
UNREACHABLE = KnownFault(
    ("08001", "HYT01"),
    "No SQL Server answered at {address}",
    "https://learn.microsoft.com/sql/odbc/reference/appendixes/appendix-a-odbc-error-codes",
    words=r"client unable to establish connection|connection timeout|login timeout expired",
    remedy="Check host, port and firewall, and that the server is up.",
    kind=UnreachableError,
)

ANSWERED = (*REFUSALS, *DENIED, *PASSING)
"""What the server itself says, in the order in which it is looked for."""
