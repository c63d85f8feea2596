"""The functions of Change Tracking that give one value.

docs/relational-databases/system-functions/change-tracking-*.md of MicrosoftDocs/sql-docs.
"""

from standins.sqlserver.conversions import convert
from standins.sqlserver.functions import Call, Handler, registrar
from standins.sqlserver.tracking import permissions
from standins.sqlserver.tracking.store import CURRENT_VERSION
from standins.sqlserver.typed import Typed
from standins.sqlserver.types import BIGINT, INT, MAX, SqlType

TRACKING_FUNCTIONS: dict[str, Handler] = {}
_register = registrar(TRACKING_FUNCTIONS)


@_register("change_tracking_current_version")
def _current_version(call: Call) -> Typed:
    call.arity(0)
    return Typed(CURRENT_VERSION, BIGINT)


@_register("change_tracking_min_valid_version")
def _min_valid_version(call: Call) -> Typed:
    """Null without tracking, for an id that is no tracked table's, and for a login that may not look."""
    call.arity(1)
    object_id = call.integer(0)
    return Typed(
        f"""(select k.min_valid_version from standin.tracked_tables k where k.object_id = {object_id}
        and {permissions.VISIBLE.format(object_id="k.object_id")})""",
        BIGINT,
    )


@_register("change_tracking_is_column_in_mask")
def _is_column_in_mask(call: Call) -> Typed:
    call.arity(2)
    mask = convert(call.argument(1), SqlType("varbinary", MAX)).sql
    return Typed(f"cast(t_in_change_columns({call.integer(0)}, {mask}) as integer)", INT)
