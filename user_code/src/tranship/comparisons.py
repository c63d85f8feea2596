"""How a slice's values meet a column: as bound SQL operands, and as masks over Arrow arrays.

Both must agree: a row that the mask lets through is a row that the next write's DELETE finds again.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from tranship.arrow_types import ArrowArray
from tranship.errors import ConfigurationError
from tranship.tables import TableName, TableSchema, is_binary, is_text

Value = str | bytes | int | float | bool | Decimal | date | datetime | None

if TYPE_CHECKING:
    import sqlalchemy as sa

    Predicate = sa.ColumnElement[bool]
else:
    # SQLAlchemy takes longer to import than a small table to load, so only those who need a condition do.
    Predicate = Any


def sql_column(name: str) -> "sa.ColumnClause[Any]":
    """A column that every dialect quotes, so that case, spaces and reserved words survive.

    A percent sign stays a percent sign: SQLAlchemy doubles it itself where the driver's parameter
    style needs that.
    """
    import sqlalchemy as sa
    from sqlalchemy.sql.elements import quoted_name

    return sa.column(quoted_name(name, quote=True))


def sql_table(table: TableName) -> "sa.TableClause":
    """A table by its name, which every dialect quotes as it does a column's."""
    import sqlalchemy as sa
    from sqlalchemy.sql.elements import quoted_name

    return sa.table(
        quoted_name(table.name, quote=True),
        schema=quoted_name(table.schema, quote=True),
    )


def between(column: str, low: Any, high: Any) -> Predicate:
    """The condition `low <= column < high`; a bound that is `None` is open."""
    import sqlalchemy as sa

    bounds: list[Predicate] = []
    if low is not None:
        bounds.append(sql_column(column) >= _operand(low))
    if high is not None:
        bounds.append(sql_column(column) < _operand(high))
    return sa.and_(*bounds)


def _operand(value: Any) -> Any:
    """A bound as SQLAlchemy takes it: it orders no plain True and False."""
    import sqlalchemy as sa

    return sa.literal(value) if isinstance(value, bool) else value


def mask_between(array: ArrowArray, low: Any, high: Any) -> Any:
    """Which values lie in `low <= value < high`; nulls never do."""
    import pyarrow.compute as pc  # takes as long to import as the rest of pyarrow

    type_ = array.type
    if pa.types.is_timestamp(type_) and type_.unit in {"s", "ms"}:
        type_ = pa.timestamp("us", type_.tz)  # a coarser bound would take in earlier rows
    parts: list[pa.BooleanArray] = []
    if low is not None:
        parts.append(pc.greater_equal(array, pa.scalar(low, type=type_)))
    if high is not None:
        parts.append(pc.less(array, pa.scalar(high, type=type_)))
    elif pa.types.is_floating(type_):
        parts = [pc.or_(parts[0], pc.is_nan(array))]  # to databases NaN is the greatest number
    return pc.fill_null(reduce(pc.and_, parts), pa.scalar(False))


def column_array(batch: pa.RecordBatch, column: str) -> ArrowArray:
    """One column of a batch, in a form that Arrow can compare.

    Raises:
        ColumnNotFoundError: The batch has no such column.
    """
    TableSchema.from_arrow(batch.schema).column(column)  # raises with the list of columns
    array = batch.column(column)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    # Arrow has no comparisons of text views.
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def typed_value(value: Value, column: str, type_: pa.DataType) -> Any:
    """A slice's value as the Python value that the column's own type gives.

    Raises:
        ConfigurationError: The value is none of that type, or would lose something.
    """
    if value is None:
        return None
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    try:
        if isinstance(value, str) and is_binary(type_):
            return pa.scalar(_bytes_of(value), type=type_).as_py()
        if isinstance(value, str) and not is_text(type_):
            return pa.scalar(value).cast(type_).as_py()
        if (
            isinstance(value, datetime)
            and pa.types.is_timestamp(type_)
            and type_.tz is None
            and value.tzinfo
        ):
            value = value.astimezone(UTC).replace(tzinfo=None)
        typed = pa.scalar(value, type=type_).as_py()
        if not _is_same(value, typed, type_):
            raise ValueError(f"Arrow would make it {typed!r}.")
        return typed
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ConfigurationError(
            f'The slice value {value!r} is not a value of "{column}", which is {type_}.',
            "Set partition_expr to the column that holds the partition keys.",
        ) from error


def _bytes_of(text: str) -> bytes:
    """Bytes as SQL Server writes them; the letters themselves would silently find no row."""
    if not text.lower().startswith("0x"):
        raise ValueError("Bytes are written like 0x4f.")
    return bytes.fromhex(text[2:])


def _is_same(value: Value, typed: Any, type_: pa.DataType) -> bool:
    """Whether nothing was cut off: Arrow makes 1.5 the integer 1, and noon the day it is in."""
    if pa.types.is_date(type_) and isinstance(value, datetime):
        return value.time() == time() and value.date() == typed
    if isinstance(value, datetime) and value.tzinfo is None and typed.tzinfo is not None:
        value = value.replace(tzinfo=UTC)  # as Arrow reads it
    return pa.types.is_floating(type_) or value == typed


def time_zone(name: str) -> tzinfo:
    """The zone of that name.

    Raises:
        ConfigurationError: There is none.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{name!r} is not a time zone.", "Use a name such as US/Central."
        ) from error


def equal_cuts(low: int, high: int, parts: int) -> list[int]:
    """The whole numbers at which a closed range is cut into parts of equal width.

    Example:
        >>> equal_cuts(1, 100, 4)
        [26, 51, 76]
    """
    width = high - low + 1
    cuts = {low + width * number // parts for number in range(1, parts)}
    return sorted(cut for cut in cuts if cut > low)


def ranges(column: str, cuts: Sequence[Any], *, nullable: bool) -> list[Predicate | None]:
    """Half-open ranges between cuts, the outer ones open; rows without a key are in the first.

    Example:
        >>> [str(one) for one in ranges("id", [10], nullable=False)]
        ['"id" < :id_1', '"id" >= :id_1']
    """
    import sqlalchemy as sa

    key = sql_column(column)
    if not cuts:
        return [None]
    predicates: list[Predicate | None] = []
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        bounds: list[Predicate] = []
        if low is not None:
            bounds.append(key >= low)
        if high is not None:
            bounds.append(key < high)
        predicate = sa.and_(*bounds)
        if low is None and nullable:
            predicate = sa.or_(predicate, key.is_(None))
        predicates.append(predicate)
    return predicates
