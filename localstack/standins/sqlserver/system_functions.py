"""Functions and @@variables about the server, the database and the session."""

from collections.abc import Callable

from standins.sqlserver.cdc.functions import CDC_FUNCTIONS
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import SourceColumn
from standins.sqlserver.functions import (
    Call,
    bit_constant,
    integer_constant,
    null_of,
    text_constant,
)
from standins.sqlserver.system_views import COLLATION_NAME, DATABASE_ID
from standins.sqlserver.tracking.functions import TRACKING_FUNCTIONS
from standins.sqlserver.tracking.permissions import RIGHT, VISIBLE
from standins.sqlserver.typed import Typed
from standins.sqlserver.types import BIGINT, INT, SYSNAME, SqlType, nvarchar

VERSION = (
    "Microsoft SQL Server stand-in of Tranship, not Microsoft's product - 15.0.2000.5 (speaks TDS 7.4, runs a subset of T-SQL, "
    "for demos and tests only)"
)
"""SQLAlchemy reads the numbers behind `Microsoft ... - `; everything else says what this is."""
_PROPERTIES: dict[str, str | int | None] = {
    "productversion": "15.0.2000.5",
    "productmajorversion": "15",
    "productlevel": "RTM",
    "edition": "Tranship stand-in",
    "engineedition": 3,
    "machinename": "TRANSHIP-STANDIN",
    "instancename": None,
    "collation": COLLATION_NAME,
    "isintegratedsecurityonly": 0,
    "isclustered": 0,
    "ishadrenabled": 0,
}
_COUNTERS: dict[str, Callable[[Call], int | None]] = {
    "@@rowcount": lambda call: call.compiler.environment.session.row_count,
    "@@trancount": lambda call: call.compiler.environment.session.transaction_depth,
    "@@spid": lambda call: call.compiler.environment.session.spid,
    "@@error": lambda call: call.compiler.environment.session.last_error,
    "@@fetch_status": lambda _call: -1,
    "@@textsize": lambda _call: 2147483647,
    "@@lock_timeout": lambda call: call.compiler.environment.session.lock_timeout,
    "@@options": lambda _call: 5496,
    "@@max_precision": lambda _call: 38,
    "@@datefirst": lambda _call: 7,
    "xact_state": lambda call: call.compiler.environment.session.transaction_state,
}


def _counter(call: Call) -> Typed:
    return integer_constant(_COUNTERS[call.name.lower()](call))


def _text(value: Callable[[Call], str | None], kind: SqlType = SYSNAME) -> Callable[[Call], Typed]:
    return lambda call: text_constant(value(call), kind)


def _identity(call: Call) -> Typed:
    value = call.compiler.environment.session.last_identity
    kind = SqlType("numeric", precision=38)
    return null_of(kind) if value is None else Typed(f"cast({value} as decimal(38,0))", kind)


def _min_active_rowversion(call: Call) -> Typed:
    return Typed(
        f"t_version({call.compiler.environment.session.min_active_rowversion()})",
        SqlType("binary", 8),
        nullable=False,
    )


def _last_rowversion(call: Call) -> Typed:
    return Typed(
        f"t_version({call.compiler.environment.session.last_rowversion()})",
        SqlType("varbinary", 8),
        nullable=False,
    )


def _constant(call: Call, index: int) -> str:
    value = call.argument(index)
    if value.text is None:
        raise unsupported(f"{call.name} with an argument that is no constant")
    return value.text


def _server_name(call: Call) -> str:
    return call.compiler.environment.session.store.server_name


def _server_property(call: Call) -> Typed:
    call.arity(1)
    wanted = _constant(call, 0).lower()
    if wanted == "servername":
        return text_constant(_server_name(call), nvarchar(128))
    value = _PROPERTIES.get(wanted)
    return (
        integer_constant(value) if isinstance(value, int) else text_constant(value, nvarchar(128))
    )


def _database_property(call: Call) -> Typed:
    call.arity(2)
    known = {
        "collation": COLLATION_NAME,
        "status": "ONLINE",
        "updateability": "READ_WRITE",
        "recovery": "SIMPLE",
    }
    wanted = _constant(call, 1).lower()
    if wanted not in known:
        raise unsupported(f"databasepropertyex '{wanted}'")
    return text_constant(known[wanted], nvarchar(128))


def _database_name(call: Call) -> Typed:
    call.arity(0, 1)
    session = call.compiler.environment.session
    if not call.nodes:
        return text_constant(session.database, SYSNAME)
    return Typed(
        f'(select name from standin."sys.databases" where database_id = {call.integer(0)})', SYSNAME
    )


def _database_id(call: Call) -> Typed:
    call.arity(0, 1)
    if not call.nodes:
        return integer_constant(DATABASE_ID)
    return Typed(
        f'(select database_id from standin."sys.databases" where name = {call.text(0).sql})', INT
    )


def _schema_name(call: Call) -> Typed:
    call.arity(0, 1)
    if not call.nodes:
        return text_constant("dbo", SYSNAME)
    return Typed(
        f"(select s.name from standin.schemas s where s.schema_id = {call.integer(0)})", SYSNAME
    )


def _schema_id(call: Call) -> Typed:
    call.arity(0, 1)
    if not call.nodes:
        return integer_constant(1)
    return Typed(
        f"(select s.schema_id from standin.schemas s where s.name = {call.text(0).sql})", INT
    )


def _has_perms_by_name(call: Call) -> Typed:
    """1, or 0 for a right that the login was denied.

    Null for a table that is none, and for UNMASK on anything but a database, as before SQL Server 2022.
    """
    call.arity(3, 5)
    given = call.argument(2).text
    if given is not None and given.upper() == RIGHT:
        return _may_view_changes(call)
    right = f"upper({call.text(2).sql})"
    return Typed(
        f"""(case when {right} = 'UNMASK' and upper({call.text(1).sql}) <> 'DATABASE' then null
        when exists (select 1 from standin.denied where "right" = {right}) then 0 else 1 end)""",
        INT,
    )


def _may_view_changes(call: Call) -> Typed:
    visible = VISIBLE.format(object_id="t_named.id")
    return Typed(
        f"""(select case when upper(t_named.class) = 'OBJECT' and t_named.id is null then null when {visible} then 1 else 0 end
        from (select {_named_object(call.text(0).sql)} as id, {call.text(1).sql} as class) t_named)""",
        INT,
    )


def _named_object(name: str, wanted: str = "") -> str:
    """The id of what a text names; brackets and missing schemas as T-SQL takes them.

    The text may name columns of the query around, so the names in here are such as nobody gives to a table.
    """
    bare = f"replace(replace({name}, '[', ''), ']', '')"
    parts = f"string_split({bare}, '.')"
    schema = f"coalesce(nullif({parts}[-2], ''), 'dbo')"
    return f"""(select t_object.object_id from standin."sys.objects" t_object join standin.schemas t_schema using (schema_id)
        where t_object.name = {parts}[-1] collate nocase and t_schema.name = {schema} collate nocase{wanted})"""


def _object_id(call: Call) -> Typed:
    call.arity(1, 2)
    wanted = f" and t_object.type = rpad({call.text(1).sql}, 2, ' ')" if len(call.nodes) > 1 else ""
    return Typed(_named_object(call.text(0).sql, wanted), INT)


def _object_name(call: Call) -> Typed:
    call.arity(1, 2)
    column = "s.name" if call.name.lower() == "object_schema_name" else "o.name"
    return Typed(
        f"""(select {column} from standin."sys.objects" o join standin.schemas s using (schema_id) where o.object_id = {call.integer(0)})""",
        SYSNAME,
    )


def _col_name(call: Call) -> Typed:
    call.arity(2)
    return Typed(
        f"(select c.name from standin.columns c where c.object_id = {call.integer(0)} and c.column_id = {call.integer(1)})",
        SYSNAME,
    )


def _type_name(call: Call) -> Typed:
    call.arity(1)
    return Typed(
        f'(select y.name from standin."sys.types" y where y.user_type_id = {call.integer(0)})',
        SYSNAME,
    )


def _column_property(call: Call) -> Typed:
    call.arity(3)
    expression = {
        "isidentity": "cast(c.is_identity as integer)",
        "iscomputed": "cast(c.is_computed as integer)",
        "allowsnull": "cast(c.is_nullable as integer)",
        "columnid": "c.column_id",
        "precision": 'cast(c."precision" as integer)',
    }.get(_constant(call, 2).lower())
    if expression is None:
        raise unsupported(f"columnproperty '{_constant(call, 2)}'")
    return Typed(
        f'(select {expression} from standin."sys.columns" c where c.object_id = {call.integer(0)} and c.name = {call.text(1).sql})',
        INT,
    )


def _ident_current(call: Call) -> Typed:
    raise unsupported(f"the function {call.name}")


SYSTEM_FUNCTIONS: dict[str, Callable[[Call], Typed]] = {
    **dict.fromkeys(_COUNTERS, _counter),
    "@@version": _text(lambda _call: VERSION, nvarchar(300)),
    "@@servername": _text(_server_name),
    "@@language": _text(lambda _call: "us_english"),
    "@@identity": _identity,
    "scope_identity": _identity,
    "ident_current": _ident_current,
    "@@dbts": _last_rowversion,
    "min_active_rowversion": _min_active_rowversion,
    "@@microsoftversion": lambda _call: integer_constant(0x0F0007D0),
    "serverproperty": _server_property,
    "databasepropertyex": _database_property,
    "db_name": _database_name,
    "db_id": _database_id,
    "schema_name": _schema_name,
    "schema_id": _schema_id,
    **dict.fromkeys(
        ("suser_sname", "suser_name", "original_login", "system_user"),
        _text(lambda call: call.compiler.environment.session.user),
    ),
    **dict.fromkeys(
        ("user_name", "current_user", "session_user", "user"), _text(lambda _call: "dbo")
    ),
    "host_name": _text(lambda call: call.compiler.environment.session.host),
    "app_name": _text(lambda call: call.compiler.environment.session.application),
    "object_id": _object_id,
    "object_name": _object_name,
    "object_schema_name": _object_name,
    "col_name": _col_name,
    "type_name": _type_name,
    "columnproperty": _column_property,
    "has_perms_by_name": _has_perms_by_name,
    "is_srvrolemember": lambda _call: integer_constant(1),
    "is_member": lambda _call: integer_constant(1),
    "has_dbaccess": lambda _call: integer_constant(1),
    **TRACKING_FUNCTIONS,
    **CDC_FUNCTIONS,
    "current_transaction_id": lambda call: integer_constant(
        call.compiler.environment.session.spid, BIGINT
    ),
    "@@nestlevel": lambda _call: bit_constant(False),
}


def table_function(name: str) -> tuple[str, list[SourceColumn]]:
    """A function in FROM: its DuckDB text and columns.

    Raises:
        SqlError: it is not supported.
    """
    if name.lower() == "fn_listextendedproperty":
        # SQLAlchemy asks once whether comments can be read this way; it then reads sys.extended_properties.
        columns = [SourceColumn(column, SYSNAME) for column in ("objtype", "objname", "name")]
        columns.append(SourceColumn("value", nvarchar(4000)))
        return (
            "(select null::varchar, null::varchar, null::varchar, null::varchar where false)",
            columns,
        )
    if name.startswith("@"):
        raise SqlError(1087, f'Must declare the table variable "{name}".', 15)
    raise unsupported(f"the table function {name}")
