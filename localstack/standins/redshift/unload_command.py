"""Reading an UNLOAD statement: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html."""

import re
from dataclasses import dataclass, field

from standins.redshift.authorization import Authorization, accept_authorization
from standins.redshift.errors import SYNTAX, UNSUPPORTED, RedshiftError
from standins.redshift.rewrite import SessionSettings, rewrite
from standins.redshift.statements import Cursor, Statement, split
from standins.redshift.storage import split_url

MEGABYTE = 1024 * 1024
GIGABYTE = 1024 * MEGABYTE
#: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html#unload-parameters
MAX_FILE_BYTES = int(6.2 * GIGABYTE)
MIN_FILE_BYTES = 5 * MEGABYTE
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*(mb|gb)?\b", re.IGNORECASE)
_FLAGS = {
    "HEADER", "ADDQUOTES", "ESCAPE", "ALLOWOVERWRITE", "CLEANPATH", "GZIP", "BZIP2",
}  # fmt: skip
_STRINGS = {"DELIMITER", "NULL", "REGION", "EXTENSION", "KMS_KEY_ID"}
_TEXT_ONLY = {"HEADER", "ADDQUOTES", "ESCAPE", "DELIMITER", "NULL", "GZIP", "BZIP2", "ZSTD"}
_UNSUPPORTED = {"ZSTD", "MASTER_SYMMETRIC_KEY", "FIXEDWIDTH", "JSON"}


@dataclass
class UnloadCommand:
    """An UNLOAD to S3.

    Attributes:
        query: the inner statement, translated for Postgres.
        target: `s3://bucket/prefix`.
        format: `parquet`, `csv` or `text` (delimited).
        max_file_bytes: a file is closed when it is this large.
        options: further options, in upper case.
    """

    query: str
    target: str
    authorization: Authorization | None = None
    format: str = "text"
    manifest: bool = False
    verbose: bool = False
    parallel: bool = True
    max_file_bytes: int = MAX_FILE_BYTES
    partition_by: list[str] = field(default_factory=list)
    include_partitions: bool = False
    options: dict[str, str | bool] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Whether an option was given."""
        return bool(self.options.get(name, False))

    @property
    def kms_key(self) -> str | None:
        """The KMS key that its files are encrypted with; S3 encrypts them as it is set otherwise."""
        key = self.options.get("KMS_KEY_ID")
        return key if isinstance(key, str) else None


def read_unload(statement: Statement, settings: SessionSettings) -> UnloadCommand:
    """Read an UNLOAD.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    cursor = Cursor(statement)
    cursor.expect("UNLOAD")
    cursor.expect("(")
    inner = cursor.string()
    cursor.expect(")")
    cursor.expect("TO")
    command = UnloadCommand(_query(inner, settings), cursor.string())
    split_url(command.target)
    while not cursor.done:
        _option(cursor, command)
    _check(command)
    return command


def _query(inner: str, settings: SessionSettings) -> str:
    statements = split(inner)
    if len(statements) != 1:
        raise RedshiftError("UNLOAD needs exactly one query", SYNTAX)
    query = statements[0]
    if query.words[0] not in {"SELECT", "WITH", "("}:
        raise RedshiftError(f'syntax error at or near "{query.words[0]}"', SYNTAX)
    depth = 0
    for word in query.words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and word in {"LIMIT", "TOP", "FETCH"}:
            raise RedshiftError("Limit clause is not supported", UNSUPPORTED)
    return rewrite(query, settings)


def _option(cursor: Cursor, command: UnloadCommand) -> None:
    authorization = accept_authorization(cursor)
    if authorization is not None:
        command.authorization = authorization
        return
    if cursor.accept("FORMAT"):
        cursor.accept("AS")
    name = cursor.peek()
    if name in _UNSUPPORTED:
        raise RedshiftError(f"UNLOAD ... {name} is not supported by the stand-in", UNSUPPORTED)
    if cursor.accept("PARQUET") or cursor.accept("CSV"):
        command.format = name.lower()
    elif cursor.accept("PARTITION", "BY"):
        command.partition_by = cursor.names_in_parentheses()
        command.include_partitions = cursor.accept("INCLUDE")
    elif cursor.accept("MANIFEST"):
        command.manifest, command.verbose = True, cursor.accept("VERBOSE")
    elif cursor.accept("PARALLEL"):
        command.parallel = not (cursor.accept("OFF") or cursor.accept("FALSE"))
        if command.parallel and not cursor.accept("ON"):
            cursor.accept("TRUE")
    elif cursor.accept("MAXFILESIZE"):
        command.max_file_bytes = _size(cursor)
    elif cursor.accept("ROWGROUPSIZE"):
        _size(cursor)
    elif cursor.accept("ENCRYPTED"):
        command.options["ENCRYPTED"] = "auto" if cursor.accept("AUTO") else "key"
    elif name in _FLAGS | _STRINGS:
        cursor.next()
        cursor.accept("AS")
        command.options[name] = cursor.string() if name in _STRINGS else True
    else:
        raise cursor.unexpected()


def _size(cursor: Cursor) -> int:
    cursor.accept("AS")
    match = _NUMBER.match(cursor.statement.text, cursor.token.start)
    if match is None:
        raise cursor.unexpected()
    # The tokenizer takes "0.5gb" apart in its own way: read on behind what was matched.
    while not cursor.done and cursor.token.start < match.end():
        cursor.next()
    unit = MEGABYTE if (match[2] or "mb").lower() == "mb" else GIGABYTE
    return int(float(match[1]) * unit)


def _check(command: UnloadCommand) -> None:
    if command.flag("ALLOWOVERWRITE") and command.flag("CLEANPATH"):
        text = "ALLOWOVERWRITE and CLEANPATH options cannot be specified together"
        raise RedshiftError(text, UNSUPPORTED)
    if not MIN_FILE_BYTES <= command.max_file_bytes <= MAX_FILE_BYTES:
        raise RedshiftError("MAXFILESIZE must be between 5 MB and 6.2 GB", "22023")
    _check_encryption(command)
    for name in command.options:
        if command.format == "parquet" and name in _TEXT_ONLY:
            text = f"{name} argument is not supported for PARQUET based UNLOAD"
            raise RedshiftError(text, UNSUPPORTED)
    if command.format == "csv" and (command.flag("ADDQUOTES") or command.flag("ESCAPE")):
        raise RedshiftError("CSV is not supported with ADDQUOTES or ESCAPE", UNSUPPORTED)


def _check_encryption(command: UnloadCommand) -> None:
    encrypted, key = command.options.get("ENCRYPTED"), command.options.get("KMS_KEY_ID")
    if key and encrypted is None:
        raise RedshiftError("KMS_KEY_ID can only be specified with ENCRYPTED", SYNTAX)
    if key and encrypted == "auto":
        raise RedshiftError("ENCRYPTED AUTO cannot be specified with KMS_KEY_ID", SYNTAX)
