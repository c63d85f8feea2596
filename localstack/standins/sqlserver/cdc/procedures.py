"""`EXEC sys.sp_cdc_*`: the arguments by name or by place, and what each procedure does.

docs/relational-databases/system-stored-procedures/sys-sp-cdc-*.md of MicrosoftDocs/sql-docs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from standins.sqlserver import tokens
from standins.sqlserver.cdc import definitions, errors
from standins.sqlserver.cdc.functions import GATING_ROLE, LSN
from standins.sqlserver.errors import SqlError
from standins.sqlserver.results import Done
from standins.sqlserver.type_info import ResultColumn, column_metadata
from standins.sqlserver.types import BIT, DATETIME, INT, SYSNAME, SqlType, nvarchar

if TYPE_CHECKING:
    from standins.sqlserver.procedures import Argument
    from standins.sqlserver.session import Session

PREFIX = "sp_cdc_"
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "sp_cdc_enable_db": (),
    "sp_cdc_disable_db": (),
    "sp_cdc_enable_table": (
        "source_schema", "source_name", "role_name", "capture_instance", "supports_net_changes", "index_name", "captured_column_list",
        "filegroup_name", "allow_partition_switch",
    ),
    "sp_cdc_disable_table": ("source_schema", "source_name", "capture_instance"),
    "sp_cdc_help_change_data_capture": ("source_schema", "source_name"),
    "sp_cdc_get_captured_columns": ("capture_instance",),
    "sp_cdc_cleanup_change_table": ("capture_instance", "low_water_mark", "threshold"),
    "sp_cdc_start_job": ("job_type",),
    "sp_cdc_stop_job": ("job_type",),
    "sp_cdc_scan": ("maxtrans", "maxscans", "continuous", "pollinginterval"),
}  # fmt: skip
_HELP: tuple[tuple[str, SqlType], ...] = (
    ("source_schema", SYSNAME), ("source_table", SYSNAME), ("capture_instance", SYSNAME), ("object_id", INT), ("source_object_id", INT),
    ("start_lsn", LSN), ("end_lsn", LSN), ("supports_net_changes", BIT), ("has_drop_pending", BIT), ("role_name", SYSNAME),
    ("index_name", SYSNAME), ("filegroup_name", SYSNAME), ("create_date", DATETIME), ("index_column_list", nvarchar(0)),
    ("captured_column_list", nvarchar(0)),
)  # fmt: skip


_COLUMNS: tuple[tuple[str, SqlType], ...] = (
    ("source_schema", SYSNAME), ("source_table", SYSNAME), ("capture_instance", SYSNAME), ("column_name", SYSNAME), ("column_id", INT),
    ("column_ordinal", INT), ("data_type", SYSNAME),
)  # fmt: skip


def run(session: "Session", name: str, arguments: "list[Argument]") -> "Iterator[bytes | Done]":
    """Runs a procedure by its name without schema.

    Raises:
        SqlError: 2812 no such procedure, 201 or 8145 wrong arguments, and what it refuses.
    """
    if name not in _PARAMETERS:
        raise SqlError(2812, f"Could not find stored procedure '{name}'.", 16, 62)
    given = _given(name, arguments)
    match name:
        case "sp_cdc_enable_db":
            definitions.enable_database(session)
        case "sp_cdc_disable_db":
            definitions.disable_database(session)
        case "sp_cdc_enable_table":
            definitions.enable_table(session, _capture(given))
        case "sp_cdc_disable_table":
            definitions.disable_table(
                session,
                _needed(given, "source_schema"),
                _needed(given, "source_name"),
                _needed(given, "capture_instance"),
            )
        case "sp_cdc_help_change_data_capture":
            yield from _help(session, given)
        case "sp_cdc_get_captured_columns":
            yield from _columns(session, _needed(given, "capture_instance"))
        case "sp_cdc_cleanup_change_table":
            mark = given.get("low_water_mark")
            definitions.clean_up(
                session,
                _needed(given, "capture_instance"),
                mark if isinstance(mark, bytes) else None,
            )
        case _:
            _steer(session, name, given)


def _given(name: str, arguments: "list[Argument]") -> dict[str, Any]:
    parameters = _PARAMETERS[name]
    given: dict[str, Any] = {}
    for place, argument in enumerate(arguments):
        label = argument.name.lower() or (parameters[place] if place < len(parameters) else "")
        if label not in parameters:
            raise SqlError(
                8145, f"@{argument.name} is not a parameter for procedure {name}.", 16, 1
            )
        given[label] = argument.value.value
    return given


def _needed(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not value:
        raise errors.parameter_needed(f"@{name}")
    return str(value)


def _capture(given: dict[str, Any]) -> definitions.Capture:
    if "role_name" not in given:
        raise SqlError(
            201,
            "Procedure or function 'sp_cdc_enable_table' expects parameter '@role_name', which was not supplied.",
            16,
            4,
        )
    nets, listed = given.get("supports_net_changes"), given.get("captured_column_list")
    return definitions.Capture(
        _needed(given, "source_schema"),
        _needed(given, "source_name"),
        given["role_name"],
        given.get("capture_instance"),
        None if nets is None else str(nets) in {"1", "True", "true"},
        given.get("index_name"),
        None if listed is None else tuple(_listed(str(listed))),
        given.get("filegroup_name"),
    )


def _listed(text: str) -> Iterator[str]:
    """Names with commas between, in brackets or quotes where they need them."""
    name, closing = "", ""
    for character in text:
        if closing:
            closing = "" if character == closing else closing
            name += "" if not closing else character
        elif character in '["':
            closing = "]" if character == "[" else '"'
        elif character == ",":
            yield name.strip()
            name = ""
        else:
            name += character
    if name.strip():
        yield name.strip()


def _steer(session: "Session", name: str, given: dict[str, Any]) -> None:
    """The capture job: a clean-up job is none of the stand-in's."""
    capture = definitions.check_owner(session)
    job = str(given.get("job_type") or "capture").lower()
    if name == "sp_cdc_scan":
        if capture.is_running:
            raise errors.job_is_running(session.state.spid)
        capture.scan()
    elif job != "capture":
        return
    elif name == "sp_cdc_start_job":
        capture.start_job()
    else:
        capture.stop_job()


def _help(session: "Session", given: dict[str, Any]) -> "Iterator[bytes | Done]":
    """The instances that the login may see, of all tables or of one."""
    capture = session.state.store.capture
    if not capture.is_enabled:
        raise errors.database_off(session.state.database)
    schema, name = given.get("source_schema"), given.get("source_name")
    wanted = None
    if schema or name:
        wanted = session.catalogue.find(
            _needed(given, "source_schema"), _needed(given, "source_name")
        )
        if wanted is None or wanted.is_view or wanted.object_id not in capture.instances:
            raise errors.table_off(str(schema), str(name))
    outside = _is_outside(session)
    rows = session.catalogue.rows(
        """select s.name, t.name, i.capture_instance, i.object_id, i.source_object_id, i.start_lsn, i.end_lsn, i.supports_net_changes,
        i.has_drop_pending, i.role_name, i.index_name, i.filegroup_name, i.create_date,
        (select string_agg('[' || x.column_name || ']', ', ' order by x.index_ordinal) from standin.cdc_index_columns x
            where x.object_id = i.object_id),
        (select string_agg('[' || x.column_name || ']', ', ' order by x.column_ordinal) from standin.cdc_captured_columns x
            where x.object_id = i.object_id)
        from standin.cdc_change_tables i join standin.tables t on t.object_id = i.source_object_id join standin.schemas s using (schema_id)
        where (i.role_name is null or not ?) and (? is null or i.source_object_id = ?) order by i.object_id""",
        [outside, wanted.object_id if wanted else None, wanted.object_id if wanted else None],
    )
    yield from _result(session, _HELP, rows)


def _columns(session: "Session", name: str) -> "Iterator[bytes | Done]":
    """The columns of an instance, up to their types; what the real one says of a type behind that is left out."""
    instance = session.state.store.capture.instance(name)
    if instance is None or (instance.role is not None and _is_outside(session)):
        raise errors.no_access()
    rows = session.catalogue.rows(
        """select s.name, t.name, i.capture_instance, x.column_name, x.column_id, x.column_ordinal, x.column_type
        from standin.cdc_captured_columns x join standin.cdc_change_tables i using (object_id)
        join standin.tables t on t.object_id = i.source_object_id join standin.schemas s using (schema_id)
        where i.object_id = ? order by x.column_ordinal""",
        [instance.object_id],
    )
    yield from _result(session, _COLUMNS, rows)


def _is_outside(session: "Session") -> bool:
    """Whether the login is in no gating role."""
    return bool(
        session.catalogue.rows('select 1 from standin.denied where "right" = ?', [GATING_ROLE])
    )


def _result(
    session: "Session", columns: tuple[tuple[str, SqlType], ...], rows: list[tuple]
) -> "Iterator[bytes | Done]":
    yield column_metadata([ResultColumn(label, kind) for label, kind in columns])
    if rows:
        yield session.encode(rows, [kind for _, kind in columns])
    yield Done(tokens.DONE_IN_PROC, len(rows))
