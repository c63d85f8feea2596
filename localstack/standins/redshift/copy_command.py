"""Reading a COPY statement: https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html."""

from dataclasses import dataclass, field

from standins.redshift.authorization import Authorization, accept_authorization
from standins.redshift.errors import UNSUPPORTED, RedshiftError
from standins.redshift.statements import Cursor, Statement
from standins.redshift.storage import split_url

#: What may follow a COPY of Parquet besides authorization; everything else is refused.
#: https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html
COLUMNAR_OPTIONS = {
    "ACCEPTINVCHARS", "FILLRECORD", "STATUPDATE", "MANIFEST", "EXPLICIT_IDS", "SERIALIZETOJSON",
}  # fmt: skip
_FLAGS = {
    "MANIFEST", "GZIP", "BZIP2", "ZSTD", "SERIALIZETOJSON", "EXPLICIT_IDS", "FILLRECORD", "ESCAPE",
    "REMOVEQUOTES", "NOLOAD", "IGNOREBLANKLINES", "IGNOREALLERRORS", "TRIMBLANKS", "ROUNDEC",
    "ACCEPTANYDATE", "BLANKSASNULL", "EMPTYASNULL", "TRUNCATECOLUMNS",
}  # fmt: skip
_STRINGS = {"DELIMITER", "REGION", "DATEFORMAT", "TIMEFORMAT", "NULL", "ENCODING", "QUOTE"}
_NUMBERS = {"IGNOREHEADER", "MAXERROR", "COMPROWS", "READRATIO"}
_SWITCHES = {"COMPUPDATE", "STATUPDATE"}
_UNSUPPORTED_FORMATS = {"AVRO", "ORC", "SHAPEFILE", "FIXEDWIDTH", "LZOP", "SSH"}


@dataclass
class CopyCommand:
    """A COPY from S3.

    Attributes:
        table: the qualified name, folded.
        columns: the column list, or None.
        format: `parquet`, `csv`, `json` or `text` (delimited).
        json_paths: `auto`, `auto ignorecase`, `noshred` or the address of a JSONPaths file.
        options: every option given, in upper case; flags map to True.
    """

    table: tuple[str, ...]
    columns: list[str] | None
    source: str
    authorization: Authorization | None = None
    format: str = "text"
    json_paths: str = "auto"
    options: dict[str, str | int | bool] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Whether an option was given."""
        return bool(self.options.get(name, False))

    def number(self, name: str) -> int:
        """A numeric option, 0 if it was not given."""
        return int(self.options.get(name, 0))

    def text(self, name: str, default: str) -> str:
        """A text option."""
        return str(self.options.get(name, default))


def read_copy(statement: Statement, *, fold: bool = True) -> CopyCommand:
    """Read a COPY.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    cursor = Cursor(statement)
    cursor.expect("COPY")
    table = cursor.qualified_name(fold=fold)
    columns = cursor.names_in_parentheses(fold=fold) if cursor.peek() == "(" else None
    cursor.expect("FROM")
    if cursor.peek() in {"STDIN", "PROGRAM"}:
        split_url("")
    command = CopyCommand(table, columns, cursor.string())
    split_url(command.source)
    while not cursor.done:
        _option(cursor, command)
    if command.format == "parquet":
        _check_columnar(command)
    return command


def _option(cursor: Cursor, command: CopyCommand) -> None:
    authorization = accept_authorization(cursor)
    if authorization is not None:
        command.authorization = authorization
        return
    if cursor.accept("FORMAT"):
        cursor.accept("AS")
    name = cursor.peek()
    if name in {"PARQUET", "CSV", "JSON"}:
        cursor.next()
        command.format = name.lower()
        if name == "JSON":
            cursor.accept("AS")
            if cursor.peek().startswith("'"):
                command.json_paths = cursor.string()
        return
    if name in _UNSUPPORTED_FORMATS:
        raise RedshiftError(f"COPY ... {name} is not supported by the stand-in", UNSUPPORTED)
    if name not in _FLAGS | _STRINGS | _NUMBERS | _SWITCHES | {"ACCEPTINVCHARS"}:
        raise cursor.unexpected()
    cursor.next()
    cursor.accept("AS")
    command.options[name] = _value(cursor, name)


def _value(cursor: Cursor, name: str) -> str | int | bool:
    if name in _STRINGS:
        return cursor.string()
    if name in _NUMBERS:
        token = cursor.next()
        if not token.text.isdigit():
            raise RedshiftError(f'syntax error at or near "{token.text}"', "42601")
        return int(token.text)
    if name in _SWITCHES:
        return (
            cursor.next().text
            if cursor.peek() in {"ON", "OFF", "TRUE", "FALSE", "PRESET"}
            else True
        )
    if name == "ACCEPTINVCHARS":
        return cursor.string() if cursor.peek().startswith("'") else "?"
    return True


def _check_columnar(command: CopyCommand) -> None:
    for name, value in command.options.items():
        harmless = name == "MAXERROR" and value == 0
        if name not in COLUMNAR_OPTIONS and not harmless:
            text = f"{name} argument is not supported for PARQUET based COPY"
            raise RedshiftError(text, UNSUPPORTED)
