"""Remote procedure calls and EXEC: sp_executesql, prepared statements, and the few procedures with a meaning here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from standins.sqlserver import tokens
from standins.sqlserver.batch import Statement
from standins.sqlserver.cdc import procedures as cdc_procedures
from standins.sqlserver.errors import SqlError, unknown_object, unsupported
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.type_info import ParameterReader, ResultColumn, Value, column_metadata
from standins.sqlserver.types import SYSTEM_TYPES, SqlType, nvarchar

if TYPE_CHECKING:
    from standins.sqlserver.results import Done
    from standins.sqlserver.session import Session

_NUMBERED = {
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    15: "sp_unprepare",
    14: "sp_prepexecrpc",
}
_SEPARATORS = (0x80, 0xFF, 0xFE)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call: its name without @ (may be empty), its value, whether it is an output."""

    name: str
    value: Value
    output: bool = False


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """A call as it came over the wire."""

    name: str
    arguments: list[Argument]


@dataclass(slots=True)
class PreparedStatements:
    """The statements a connection has prepared, by handle."""

    texts: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    last: int = 0

    def add(self, sql: str, names: list[str]) -> int:
        """Keeps a statement; returns its handle."""
        self.last += 1
        self.texts[self.last] = (sql, names)
        return self.last


def parse_calls(body: bytes) -> list[RemoteCall]:
    """The calls of one RPC message.

    Raises:
        ValueError: the message is cut short.
        SqlError: a parameter type that is not supported.
    """
    reader = ParameterReader(body)
    reader.take(reader.unpack("I") - 4)
    calls = []
    while reader.position < len(body):
        length = reader.unpack("H")
        if length == 0xFFFF:
            number = reader.unpack("H")
            name = _NUMBERED.get(number, f"procedure number {number}")
        else:
            name = reader.take(2 * length).decode("utf-16-le")
        reader.take(2)
        arguments = []
        while reader.position < len(body):
            if body[reader.position] in _SEPARATORS:
                reader.position += 1
                break
            argument_name = reader.short_text().lstrip("@")
            status = reader.unpack("B")
            arguments.append(Argument(argument_name, reader.value(), bool(status & 1)))
        calls.append(RemoteCall(name, arguments))
    return calls


def declared_names(declaration: str) -> list[str]:
    """The names in `@P1 int, @P2 nvarchar(10)`, without @, in lower case."""
    names, depth, expect = [], 0, True
    current = ""
    for character in declaration + ",":
        if character == "," and depth == 0:
            if expect and current.strip():
                names.append(current.split()[0].lstrip("@").lower())
            current = ""
            continue
        depth += {"(": 1, ")": -1}.get(character, 0)
        current += character
    return names


def run_call(session: "Session", prepared: PreparedStatements, call: RemoteCall) -> Iterator[bytes]:
    """The answer to one call: its results, status, output values and DONEPROC (without its MORE flag)."""
    name = call.name.lower().removeprefix("sys.").split(".")[-1].strip("[]")
    arguments = call.arguments
    outputs = b""
    match name:
        case "sp_executesql":
            sql, names = (
                _text(arguments, 0),
                declared_names(_text(arguments, 1) if len(arguments) > 1 else ""),
            )
            yield from session.batch(sql, _bind(names, arguments[2:]), done=tokens.DONE_IN_PROC)
        case "sp_prepexec":
            names = declared_names(_text(arguments, 1))
            sql = _text(arguments, 2)
            handle = prepared.add(sql, names)
            outputs = tokens.return_integer(arguments[0].name, handle)
            yield from session.batch(sql, _bind(names, arguments[3:]), done=tokens.DONE_IN_PROC)
        case "sp_prepare":
            handle = prepared.add(_text(arguments, 2), declared_names(_text(arguments, 1)))
            outputs = tokens.return_integer(arguments[0].name, handle)
        case "sp_execute":
            handle = arguments[0].value.value
            if handle not in prepared.texts:
                yield tokens.error(
                    SqlError(8179, f"Could not find prepared statement with handle {handle}.")
                )
                yield tokens.done(tokens.DONE_PROC, tokens.ERROR)
                return
            sql, names = prepared.texts[handle]  # pyright: ignore[reportArgumentType]
            yield from session.batch(sql, _bind(names, arguments[1:]), done=tokens.DONE_IN_PROC)
        case "sp_unprepare":
            prepared.texts.pop(arguments[0].value.value, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
        case _:
            try:
                for piece in _procedure(session, name, arguments):
                    yield piece if isinstance(piece, bytes) else piece.token(more=True)
            except SqlError as failure:
                yield tokens.error(failure)
                yield tokens.done(tokens.DONE_PROC, tokens.ERROR)
                return
    yield tokens.return_status(0)
    yield outputs
    yield tokens.done(tokens.DONE_PROC)


def _text(arguments: list[Argument], index: int) -> str:
    if index >= len(arguments):
        raise SqlError(201, "Procedure or function expects a parameter, which was not supplied.")
    return str(arguments[index].value.value or "")


def _bind(names: list[str], arguments: list[Argument]) -> dict[str, Value]:
    """Values by name; positional ones take the declaration's order."""
    for argument in arguments:
        if argument.output:
            raise unsupported(f"the output parameter @{argument.name}")
    pairs = zip(names + [""] * len(arguments), arguments, strict=False)
    return {(argument.name or name).lower(): argument.value for name, argument in pairs}


def execute_text(
    session: "Session", statement: Statement, variables: dict[str, Value]
) -> Iterator["bytes | Done"]:
    """EXEC of a procedure in a batch."""
    reader = TokenReader(statement.text, statement.tokens)
    reader.position = 1
    if reader.peek() == "(":
        raise unsupported("EXEC of a string: use sp_executesql")
    name = reader.qualified()[-1].lower()
    arguments = []
    is_cdc = name.startswith(cdc_procedures.PREFIX)
    while reader.more():
        label = ""
        at = reader.position
        if reader.accept("@"):
            label = reader.name()
        elif reader.peek().startswith("@"):
            label = reader.name().lstrip("@")
        if label and not reader.accept("="):
            reader.position, label = at, ""
        start = reader.position
        while reader.more() and reader.peek() != ",":
            reader.position += 1
        text = reader.text(start, reader.position)
        if text.lower().endswith((" output", " out")):
            raise unsupported("output parameters of EXEC")
        quoted = text if text.lower() not in {"default"} else "null"
        value = session.scalar(quoted if is_cdc else f"cast({quoted} as nvarchar(max))", variables)
        arguments.append(Argument(label, Value(nvarchar(0), value)))
        reader.accept(",")
    if name == "sp_executesql":
        names = declared_names(_text(arguments, 1) if len(arguments) > 1 else "")
        yield from session.batch(
            _text(arguments, 0), _bind(names, arguments[2:]), done=tokens.DONE_IN_PROC
        )
        return
    yield from _procedure(session, name, arguments)


def _procedure(
    session: "Session", name: str, arguments: list[Argument]
) -> Iterator["bytes | Done"]:
    match name:
        case "sp_addextendedproperty" | "sp_updateextendedproperty" | "sp_dropextendedproperty":
            _extended_property(session, name, arguments)
        case "sp_describe_first_result_set":
            yield from _describe(session, arguments)
        case _ if name.startswith(cdc_procedures.PREFIX):
            yield from cdc_procedures.run(session, name, arguments)
        case "sp_reset_connection":
            return
        case _:
            raise SqlError(
                2812,
                f"Could not find stored procedure '{name}' (the SQL Server stand-in has few).",
                16,
                62,
            )


def _extended_property(session: "Session", procedure: str, arguments: list[Argument]) -> None:
    order = [
        "name",
        "value",
        "level0type",
        "level0name",
        "level1type",
        "level1name",
        "level2type",
        "level2name",
    ]
    if procedure == "sp_dropextendedproperty":
        order.remove("value")
    given = {
        (argument.name.lower() or order[index]): argument.value.value
        for index, argument in enumerate(arguments)
    }
    schema, table_name, column_name = (
        str(given.get(key) or "") for key in ("level0name", "level1name", "level2name")
    )
    kind, major, minor = 0, 0, 0
    if table_name:
        table = session.catalogue.find(schema, table_name)
        if table is None or table.is_view:
            raise unknown_object(f"{schema}.{table_name}")
        kind, major = 1, table.object_id
        if column_name:
            column = table.column(column_name)
            if column is None:
                raise SqlError(
                    15135,
                    f"Object is invalid. Extended properties are not permitted on '{schema}.{table_name}.{column_name}', or the object does not exist.",
                )
            minor = column.column_id
    elif schema:
        found = session.catalogue.schema_id(schema)
        if found is None:
            raise unknown_object(schema)
        kind, major = 3, found
    session.set_property(procedure, kind, major, minor, str(given.get("name")), given.get("value"))


def _describe(session: "Session", arguments: list[Argument]) -> Iterator["bytes | Done"]:
    from standins.sqlserver.results import Done

    sql = _text(arguments, 0)
    columns = session.result_of(sql, {})
    kinds = [
        SqlType("bit"),
        SqlType("int"),
        nvarchar(128),
        SqlType("bit"),
        SqlType("int"),
        nvarchar(256),
        SqlType("smallint"),
        SqlType("tinyint"),
        SqlType("tinyint"),
    ]
    names = [
        "is_hidden",
        "column_ordinal",
        "name",
        "is_nullable",
        "system_type_id",
        "system_type_name",
        "max_length",
        "precision",
        "scale",
    ]
    yield column_metadata(
        [ResultColumn(name, kind) for name, kind in zip(names, kinds, strict=True)]
    )
    rows = []
    for ordinal, column in enumerate(columns, 1):
        kind = "timestamp" if column.type.name == "rowversion" else column.type.name
        precision, scale = column.type.digits
        rows.append(
            (
                False,
                ordinal,
                column.name,
                column.nullable,
                SYSTEM_TYPES[kind][0],
                str(column.type),
                column.type.max_bytes,
                precision,
                scale,
            )
        )
    yield session.encode(rows, kinds)
    yield Done(tokens.DONE_IN_PROC, len(rows))
