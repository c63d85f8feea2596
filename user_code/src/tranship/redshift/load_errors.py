"""Why a COPY failed: file, column, row, value and reason, from wherever Redshift keeps them.

`SYS_LOAD_ERROR_DETAIL` is on every kind of Redshift, `STL_LOAD_ERRORS` on provisioned clusters; what the
Parquet reader refuses is often only in the text of the error.
https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

import psycopg2

from tranship.errors import ValueDoesNotFitError, WriteFailedError
from tranship.pgsql.driver import SqlCursor

_FROM_SYS = """
    select file_name, line_number, column_name, null, error_message, error_code
    from sys_load_error_detail where file_name like %s order by start_time desc limit 1
"""
_FROM_STL = """
    select filename, line_number, colname, raw_field_value, err_reason, err_code
    from stl_load_errors where filename like %s order by starttime desc limit 1
"""
_FILE = re.compile(r"File name: (\S+)|'(s3://[^']+?)'?(?:\.\w+)?'")
_COLUMN = re.compile(r"for column '(?:s3://\S+?\.)?([^'./]+)'|data column (.+?) is longer than")
_CODE = re.compile(r"code:\s*(\d+)")
_CONTEXT = re.compile(r"context:\s*(.*?)\s*(?:query:|location:|$)", re.DOTALL)
_SAYS_NOTHING = r"spectrum scan error|s3 query exception.*|internal error.*|"
_NO_FIT = re.compile(
    r"too long|longer than|overflow|out of range|precision|does not fit", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class LoadError:
    """One reason why a COPY failed. What Redshift did not say is `None`."""

    reason: str
    file: str | None = None
    column: str | None = None
    row: int | None = None
    value: str | None = None
    code: int | None = None

    def details(self) -> dict[str, object]:
        """What is known, for an error's details."""
        known = {
            "file": self.file,
            "column": self.column,
            "row": self.row,
            "value": self.value,
            "reason": self.reason,
            "load_error_code": self.code,
        }
        return {name: value for name, value in known.items() if value is not None}


def from_views(cursor: SqlCursor, prefix_url: str, log: logging.Logger) -> LoadError | None:
    """The reason as Redshift's views have it; `None` where they have none.

    Args:
        cursor: A cursor outside of the failed transaction.
        prefix_url: Address that all files of this write start with, which no other write has: so the
            error found is of this write.
        log: Where it is told that a view could not be read.
    """
    for statement in (_FROM_SYS, _FROM_STL):
        try:
            cursor.execute(statement, (prefix_url + "%",))
            row = cursor.fetchone()
        except psycopg2.Error as denied:
            log.info("A view of load errors could not be read: %s", str(denied).strip())
            continue
        if row is not None:
            return _from_row(row)
    return None


def from_text(error: psycopg2.Error) -> LoadError | None:
    """The reason as it stands in the error's own words; `None` where they do not speak of a load.

    The primary message is the reason, unless it only says that a scan failed: then the context is.
    """
    primary = error.diag.message_primary or ""
    detail = error.diag.message_detail or ""
    text = f"{primary}\n{detail}"
    if not re.search(r"spectrum|load into table|load error|manifest|s3://", text, re.IGNORECASE):
        return None
    context = " ".join((_CONTEXT.search(detail) or ("", ""))[1].split())
    reason = " ".join(primary.split())
    if context and re.fullmatch(_SAYS_NOTHING, reason, re.IGNORECASE):
        reason = context
    elif context and context not in reason:
        reason = f"{reason} ({context})"
    column = _COLUMN.search(text)
    file = _FILE.search(text)
    code = _CODE.search(detail)
    return LoadError(
        reason=reason,
        file=(file[1] or file[2]) if file else None,
        column=(column[1] or column[2]) if column else None,
        code=int(code[1]) if code else None,
    )


def as_error(
    load_error: LoadError, doing: str, sources: dict[str, str]
) -> WriteFailedError | ValueDoesNotFitError:
    """The error a user meets.

    Args:
        load_error: The reason.
        doing: What was under way, such as "replace of public.fact_sales".
        sources: Names of the columns in the data, by their names in Redshift.
    """
    parts: list[str] = []
    if load_error.column:
        parts.append(f'column "{sources.get(load_error.column, load_error.column)}"')
    if load_error.row:
        parts.append(f"row {load_error.row}")
    if load_error.file:
        parts.append(f"file {load_error.file}")
    if load_error.value:
        parts.append(f"value {load_error.value!r}")
    where = f" ({', '.join(parts)})" if parts else ""
    kind = ValueDoesNotFitError if _NO_FIT.search(load_error.reason) else WriteFailedError
    return kind(
        f"The {doing} failed: Redshift could not load the staged rows{where}: {load_error.reason}.",
        "The old rows are untouched. Set keep_files to look at the staged files.",
        details=load_error.details(),
    )


def _from_row(row: tuple[Any, ...]) -> LoadError:
    file, line, column, value, reason, code = row
    return LoadError(
        reason=(reason or "").strip(),
        file=(file or "").strip() or None,
        column=(column or "").strip() or None,
        # Columnar files have no line numbers: Redshift then says 0 or -1.
        row=int(line) if line and int(line) > 0 else None,
        value=(value or "").strip() or None,
        code=int(code) if code is not None else None,
    )
