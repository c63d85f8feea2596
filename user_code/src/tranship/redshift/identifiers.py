"""Redshift's rules for names: ASCII letters fold to lower case, quoted or not, and 127 bytes are the limit.

Source: https://docs.aws.amazon.com/redshift/latest/dg/r_names.html
"""

import hashlib
import string
from collections.abc import Iterable
from dataclasses import replace

from tranship.errors import ConfigurationError
from tranship.slices import AllOf, AnyOf, Interval, KeyRange, Slice, TimeWindow, Values
from tranship.tables import TableName

MAX_BYTES = 127
MAX_COLUMNS = 1600

SYSTEM_COLUMNS = {"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
"""Names that no column may have: https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html"""

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """A name as Redshift keeps it.

    Raises:
        ConfigurationError: The name is empty, or too long.

    Example:
        >>> fold("SalesOrderNumber")
        'salesordernumber'
    """
    if not name:
        raise ConfigurationError("A name is empty.", "Name every table and column.")
    size = len(name.encode())
    if size > MAX_BYTES:
        raise ConfigurationError(
            f'The name "{name}" has {size} bytes; Redshift allows {MAX_BYTES}.', "Shorten it."
        )
    return name.translate(_TO_LOWER)


def fold_table(table: TableName) -> TableName:
    """A table's name as Redshift keeps it."""
    return TableName(fold(table.schema), fold(table.name))


def fold_columns(names: Iterable[str], table: TableName) -> dict[str, str]:
    """Every column's name as Redshift keeps it, by its name in the data.

    Raises:
        ConfigurationError: Two names become the same one, one is kept for the system, or there are too many columns.

    Example:
        >>> fold_columns(["Id", "Name"], TableName("public", "t"))
        {'Id': 'id', 'Name': 'name'}
    """
    folded: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        short = fold(name)
        if short in SYSTEM_COLUMNS:
            raise ConfigurationError(
                f'The column name "{name}" for {table} is one of the system columns that Redshift keeps for itself.',
                f"Rename it in your function, or in a replication with rename: {{{name}: {name}_}}.",
            )
        if short in taken:
            raise ConfigurationError(
                f'The columns "{taken[short]}" and "{name}" of {table} are both "{short}" in Redshift, '
                "which folds names to lower case.",
                "Rename one of them.",
            )
        taken[short] = name
        folded[name] = short
    if len(folded) > MAX_COLUMNS:
        raise ConfigurationError(
            f"{table} has {len(folded)} columns; Redshift allows {MAX_COLUMNS}.", "Select fewer."
        )
    return folded


def fold_slice(part: Slice) -> Slice:
    """The same slice on the columns as Redshift names them."""
    if isinstance(part, Values | KeyRange | Interval | TimeWindow):
        return replace(part, column=fold(part.column))
    if isinstance(part, AllOf | AnyOf):
        return replace(part, slices=tuple(fold_slice(one) for one in part.slices))
    return part


def derived_name(name: str, suffix: str) -> str:
    """A name for something that belongs to a table, within the limit and distinct for each table.

    Example:
        >>> derived_name("fact_sales", "__writes")
        'fact_sales__writes'
    """
    whole = name + suffix
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    # Longer than the digest of `tranship.names`: clusters have tables of these names.
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    room = MAX_BYTES - len(suffix) - len(digest) - 1
    return f"{name.encode()[:room].decode(errors='ignore')}_{digest}{suffix}"
