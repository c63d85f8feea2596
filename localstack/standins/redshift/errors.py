"""The errors a Redshift client meets, and how a Postgres error becomes one of them.

Texts follow messages quoted in Redshift's documentation and in public bug reports; README.md says
which of them are from memory of such reports and not confirmed on a cluster.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

INTERNAL = "XX000"
SYNTAX = "42601"
UNSUPPORTED = "0A000"
ACTIVE_TRANSACTION = "25001"


@dataclass(frozen=True, slots=True)
class LoadError:
    """One row of STL_LOAD_ERRORS: where in which file which value was refused, and why."""

    file: str
    line: int
    column: str
    column_type: str
    column_length: str
    value: str
    raw_line: str
    code: int
    reason: str
    position: int = 0


@dataclass
class RedshiftError(Exception):
    """An error as the client shall see it.

    Attributes:
        message: the primary text.
        sqlstate: five characters; Redshift uses XX000 for nearly all of its own.
        detail: the block with error, code and context that Redshift appends.
        load_errors: rows to record in STL_LOAD_ERRORS.
    """

    message: str
    sqlstate: str = INTERNAL
    detail: str | None = None
    load_errors: tuple[LoadError, ...] = field(default=())

    def __str__(self) -> str:
        return self.message

    def fields(self, severity: str = "ERROR") -> dict[str, str]:
        """The fields of the protocol's ErrorResponse."""
        fields = {"S": severity, "C": self.sqlstate, "M": self.message}
        return fields | {"D": self.detail} if self.detail else fields


class BackendError(Exception):
    """Postgres refused a statement the gateway sent; `fields` is its ErrorResponse."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", "unknown error"))
        self.fields = dict(fields)


def block(error: str, code: int, context: str, query: int, location: str, process: str) -> str:
    """The detail block of an error that comes from Redshift's own engine."""
    rule = "  -----------------------------------------------"
    rows = {"error": error, "code": code, "context": context, "query": query}
    rows |= {"location": location, "process": process}
    lines = [f"  {name + ':':<10} {value}" for name, value in rows.items()]
    return "\n".join(["", rule, *lines, rule, ""])


def internal(message: str, code: int, context: str = "", query: int = 0) -> RedshiftError:
    """An error of the leader node: bad authorization, unreadable bucket, missing prefix."""
    detail = block(message, code, context, query, "s3_utility.cpp:672", "padbmaster [pid=1]")
    return RedshiftError(message, INTERNAL, detail)


def spectrum(context: str, code: int = 15001, query: int = 0) -> RedshiftError:
    """An error met while a columnar file is read."""
    text = "Spectrum Scan Error"
    detail = block(text, code, context, query, "dory_util.cpp:1509", "worker_thread [pid=1]")
    return RedshiftError(text, INTERNAL, detail)


def syntax(near: str) -> RedshiftError:
    """What the grammar says of a word it does not know."""
    return RedshiftError(f'syntax error at or near "{near}"', SYNTAX)


def unsupported_command(sql: str) -> RedshiftError:
    """A statement that Postgres has and Redshift has not."""
    text = " ".join(sql.split())[:120]
    return RedshiftError(f'SQL command "{text};" not supported.', UNSUPPORTED)


_BYTES_CHECK = re.compile(r"^rsbytes_(c?)(\d+)_")


def from_backend(fields: Mapping[str, str]) -> dict[str, str]:
    """A Postgres ErrorResponse as Redshift would have sent it."""
    code, message = fields.get("C", ""), fields.get("M", "")
    severity = fields.get("S", "ERROR")
    if code == "40001":
        table = fields.get("t") or "0"
        detail = (
            f"Serializable isolation violation on table - {table}, "
            "transactions forming the cycle are: 1, 2 (pid:1)"
        )
        return RedshiftError("1023", INTERNAL, detail).fields(severity)
    if code == "23514" and (match := _BYTES_CHECK.match(fields.get("n", ""))):
        kind = "character" if match[1] else "character varying"
        text = f"value too long for type {kind}({match[2]})"
        return RedshiftError(text, "22001").fields(severity)
    if code == "23502" and "c" in fields:
        text = f"Cannot insert a NULL value into column {fields['c']}"
        detail = block(text, 8007, "query execution", 0, "column:0", "query0 [pid=1]")
        return RedshiftError(text, INTERNAL, detail).fields(severity)
    if code == "22003" and message == "numeric field overflow":
        text = "Numeric data overflow (result precision)"
        detail = block(text, 1058, "64 bit", 0, "numeric_bound.cpp:180", "query0 [pid=1]")
        return RedshiftError(text, INTERNAL, detail).fields(severity)
    if code == "21000" and message.startswith("MERGE command cannot affect row a second time"):
        return RedshiftError("Found multiple matches to update the same tuple.").fields(severity)
    if code == "428C9" and "insert" in message:
        text = "cannot set an identity column to a value"
        return RedshiftError(text, UNSUPPORTED).fields(severity)
    kept = {name: value for name, value in fields.items() if name in "SCMDHP"}
    kept["M"] = message.replace("permission denied for table", "permission denied for relation")
    kept["M"] = kept["M"].replace("redshift_standin.", "")
    return kept
