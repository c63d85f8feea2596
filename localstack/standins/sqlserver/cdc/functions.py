"""How T-SQL reads what was captured: `sys.fn_cdc_*`, and `cdc.fn_cdc_get_all_changes_<instance>` in FROM.

docs/relational-databases/system-functions/cdc-fn-cdc-get-all-changes-capture-instance-transact-sql.md and sys-fn-cdc-*.md of
MicrosoftDocs/sql-docs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver.cdc import errors, lsns
from standins.sqlserver.conversions import convert
from standins.sqlserver.errors import SqlError, unknown_object, unsupported
from standins.sqlserver.expressions import Expressions, Scope, SourceColumn
from standins.sqlserver.functions import Call, Handler, registrar
from standins.sqlserver.typed import Typed, identifier
from standins.sqlserver.types import DATETIME, INT, SqlType, nvarchar

if TYPE_CHECKING:
    from standins.sqlserver.cdc.store import CaptureInstance

ALL_CHANGES = "fn_cdc_get_all_changes_"
GATING_ROLE = "GATING ROLE"
"""The right that `SqlServerStandin.restrict(denied=...)` takes from a login to put it outside of the gating roles."""
LSN = SqlType("binary", lsns.LENGTH)
_FILTERS = {"all", "all update old"}
_BOUNDS = {
    "largest less than": ("max", "<"),
    "largest less than or equal": ("max", "<="),
    "smallest greater than": ("min", ">"),
    "smallest greater than or equal": ("min", ">="),
}
_SHOWN = ("__$start_lsn", "__$seqval", "__$operation", "__$update_mask")

CDC_FUNCTIONS: dict[str, Handler] = {}
_register = registrar(CDC_FUNCTIONS)


def is_denied(compiler: Expressions, instance: "CaptureInstance") -> bool:
    """Whether the login may not see an instance's changes."""
    denied = compiler.environment.catalogue.rows(
        'select 1 from standin.denied where "right" = ?', [GATING_ROLE]
    )
    return instance.role is not None and bool(denied)


@_register("fn_cdc_get_min_lsn")
def _min_lsn(call: Call) -> Typed:
    call.arity(1)
    capture = call.compiler.environment.session.store.capture
    name = _evaluated(call.compiler, call.text(0).sql)
    instance = capture.instance(name) if isinstance(name, str) else None
    if instance is None or is_denied(call.compiler, instance):
        return Typed(lsns.literal(lsns.ZERO), LSN)
    return Typed(lsns.literal(instance.start_lsn), LSN)


@_register("fn_cdc_get_max_lsn")
def _max_lsn(call: Call) -> Typed:
    """The highest number scanned; no snapshot holds it back."""
    call.arity(0)
    return Typed(lsns.literal(call.compiler.environment.session.store.capture.max_lsn), LSN)


@_register("fn_cdc_increment_lsn", "fn_cdc_decrement_lsn")
def _neighbour(call: Call) -> Typed:
    call.arity(1)
    value = _evaluated(call.compiler, convert(call.argument(0), LSN).sql)
    step = 1 if "increment" in call.name.lower() else -1
    if not isinstance(value, bytes):
        return Typed(lsns.literal(None), LSN)
    number = int.from_bytes(value, "big") + step
    return Typed(lsns.literal(number.to_bytes(lsns.LENGTH, "big")), LSN)


@_register("fn_cdc_map_time_to_lsn")
def _lsn_of_time(call: Call) -> Typed:
    call.arity(2)
    words = _evaluated(call.compiler, call.text(0).sql)
    if not isinstance(words, str) or words.lower() not in _BOUNDS:
        raise unsupported(f"the relational operator {words!r} of sys.fn_cdc_map_time_to_lsn")
    function, operator = _BOUNDS[words.lower()]
    moment = convert(call.argument(1), DATETIME).sql
    return Typed(
        f"(select {function}(m.start_lsn) from standin.cdc_lsn_time_mapping m where m.tran_end_time {operator} {moment})",
        LSN,
    )


@_register("fn_cdc_map_lsn_to_time")
def _time_of_lsn(call: Call) -> Typed:
    call.arity(1)
    lsn = convert(call.argument(0), LSN).sql
    return Typed(
        f"(select m.tran_end_time from standin.cdc_lsn_time_mapping m where m.start_lsn = {lsn})",
        DATETIME,
    )


@_register("fn_cdc_is_bit_set")
def _is_bit_set(call: Call) -> Typed:
    call.arity(2)
    place, mask = call.integer(0), convert(call.argument(1), SqlType("varbinary", 128)).sql
    byte = f"octet_length({mask}) - (({place}) - 1) // 8"
    return Typed(
        f"""(case when {byte} between 1 and octet_length({mask})
        then (('0x' || substr(hex({mask}), 2 * ({byte}) - 1, 2))::integer >> ((({place}) - 1) % 8)) & 1 else 0 end)""",
        INT,
    )


def _evaluated(compiler: Expressions, sql: str) -> object:
    """The value of an argument, which is a constant or a variable."""
    environment = compiler.environment
    bound = {name: value for name, value in environment.bound.items() if f"${name}" in sql}
    return environment.catalogue.value(f"select {sql}", bound)


def all_changes(
    name: str, arguments: Sequence[exp.Expr], compiler: Expressions
) -> tuple[str, list[SourceColumn]]:
    """`cdc.fn_cdc_get_all_changes_<instance>(from, to, filter)`: its DuckDB text and columns; both ends belong to it.

    Raises:
        SqlError: 208 no such instance, 229 outside of its role, 313 ends that it does not have.
    """
    session = compiler.environment.session
    capture = session.store.capture
    instance = capture.instance(name[len(ALL_CHANGES) :])
    if instance is None:
        raise unknown_object(f"cdc.{name}")
    if is_denied(compiler, instance):
        raise errors.outside_of_the_role(name, session.home_database)
    if len(arguments) != 3:
        raise SqlError(
            313 if len(arguments) < 3 else 8144,
            f"An insufficient number of arguments were supplied for the procedure or function cdc.{name}."
            if len(arguments) < 3
            else f"Procedure or function cdc.{name} has too many arguments specified.",
            16,
            3,
        )
    first, last = (
        _evaluated(compiler, convert(compiler.value(argument, Scope()), LSN).sql)
        for argument in arguments[:2]
    )
    rows = _evaluated(compiler, convert(compiler.value(arguments[2], Scope()), nvarchar(30)).sql)
    if not isinstance(rows, str) or rows.lower() not in _FILTERS:
        raise errors.bad_interval()
    if not isinstance(first, bytes) or not isinstance(last, bytes) or first > last:
        raise errors.bad_interval()
    if first < instance.start_lsn or capture.max_lsn is None or last > capture.max_lsn:
        raise errors.bad_interval()
    table = compiler.environment.catalogue.find("cdc", f"{instance.name}_CT")
    assert table is not None
    columns = [column for column in table.columns if _is_shown(column.name)]
    shown = ", ".join(identifier(column.name) for column in columns)
    old = "" if rows.lower() == "all update old" else ' and "__$operation" <> 3'
    text = f"""(select {shown} from {instance.table}
        where "__$start_lsn" between {lsns.literal(first)} and {lsns.literal(last)}{old})"""
    return text, [SourceColumn(c.name, c.type, c.nullable) for c in columns]


def _is_shown(name: str) -> bool:
    return name in _SHOWN or not name.startswith("__$")
