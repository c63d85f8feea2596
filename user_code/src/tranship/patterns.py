"""Tables that are named by patterns: which of those that are there match, and what to say where none does."""

import difflib
import fnmatch
import glob
import re
from collections.abc import Sequence

from tranship.errors import TableNotFoundError
from tranship.tables import TableName

_BRACKETED = re.compile(r"\[((?:[^\]]|\]\])+)\]")


def select_tables(
    present: Sequence[TableName],
    patterns: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    database: str = "",
    default_schema: str = "dbo",
) -> list[TableName]:
    """Those of the tables that match a pattern and no excluded one.

    Args:
        present: The tables to choose from.
        patterns: Names or wildcards (`*`, `?`, `[ab]`), such as `dbo.Dim*` or `*.*`; case does not matter.
        exclude: Patterns of tables to leave out.
        database: Where they are, for the message.
        default_schema: The schema of a pattern without a dot.

    Raises:
        TableNotFoundError: A pattern without wildcards names no table.

    Example:
        >>> select_tables([TableName("dbo", "DimDate"), TableName("dbo", "Fact")], ["Dim*"])
        [TableName(schema='dbo', name='DimDate')]
    """
    chosen: set[TableName] = set()
    for pattern in patterns:
        matches = _matching(present, pattern, default_schema)
        if not matches and not has_wildcards(pattern):
            raise table_not_found(
                TableName.parse(pattern, default_schema=default_schema), present, database
            )
        chosen.update(matches)
    for pattern in exclude:
        chosen.difference_update(_matching(present, pattern, default_schema))
    return sorted(chosen)


def _matching(present: Sequence[TableName], pattern: str, default_schema: str) -> list[TableName]:
    exact = [table for table in present if str(table) == pattern]
    if exact:
        return exact
    schema, name = _pattern_parts(pattern, default_schema)
    return [
        table
        for table in present
        if fnmatch.fnmatchcase(table.schema.lower(), schema.lower())
        and fnmatch.fnmatchcase(table.name.lower(), name.lower())
    ]


def has_wildcards(text: str) -> bool:
    """Whether a table's name has wildcards; what stands in brackets, as a whole part, is a name as it is.

    Example:
        >>> [has_wildcards(text) for text in ("dbo.Dim*", "dbo.[DF]im", "dbo.[Order Details]", "*.[A*]")]
        [True, True, False, True]
    """
    return any(sign in part for part in _plain_parts(text) for sign in "*?[")


def _plain_parts(text: str) -> list[str]:
    """The parts of a name that do not stand in brackets."""
    return [part for part in _name_parts(text) if not _BRACKETED.fullmatch(part)]


def _name_parts(text: str) -> list[str]:
    """The schema's part and the table's, or the table's alone; brackets and all."""
    bracketed = _BRACKETED.match(text)
    if bracketed and text[bracketed.end() : bracketed.end() + 1] == ".":
        return [bracketed[0], text[bracketed.end() + 1 :]]
    if bracketed and bracketed.end() == len(text):
        return [text]
    # Of a pattern's dots the first one ends the schema: names have dots more often than schemas do.
    return text.split(".", 1)


def _pattern_parts(pattern: str, default_schema: str) -> tuple[str, str]:
    """What the schema and the table's name have to match."""
    parts = [
        glob.escape(bracketed[1].replace("]]", "]"))
        if (bracketed := _BRACKETED.fullmatch(part))
        else part
        for part in _name_parts(pattern)
    ]
    return (parts[0], parts[1]) if len(parts) == 2 else (default_schema, parts[0])


def table_not_found(
    table: TableName, present: Sequence[TableName], database: str
) -> TableNotFoundError:
    """The error for a table that is not there, with the names that are close to it."""
    by_folded = {str(name).lower(): str(name) for name in present}
    close = difflib.get_close_matches(str(table).lower(), by_folded, n=3, cutoff=0.6)
    same_name = [str(name) for name in present if name.name.lower() == table.name.lower()]
    near = list(dict.fromkeys([*same_name, *(by_folded[folded] for folded in close)]))
    remedy = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "Check the spelling, the schema, and what this login may see."
    )
    where = f' in the database "{database}"' if database else ""
    return TableNotFoundError(f"There is no table {table}{where}.", remedy)
