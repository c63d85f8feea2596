"""Numbers and moments made into another type exactly, or refused with the place of the first that would change.

Arrow's own casts are less careful than their option `safe`: they round floats into decimals, decimals into
floats, and cut the clock off a day.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from tranship.arrow_types import ArrowArray


class _Compute:
    """`pyarrow.compute`, imported by the first value that is converted: every run imports this module."""

    def __getattr__(self, name: str) -> Any:
        import pyarrow.compute

        return getattr(pyarrow.compute, name)


pc: Any = _Compute()  # nor do its stubs know more than a few of the argument types it takes
Convert = Callable[[ArrowArray], ArrowArray]

MAX_DIGITS = 38
"""Digits that every target, every frame library and our readers hold; a wider number could not be read again."""
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 as days from 1970: what Python, its database drivers and the frame libraries hold."""
MICROSECONDS_PER_DAY = 86_400_000_000
_WIDE = Context(prec=2 * MAX_DIGITS)
_FINER = "it has digits that the type would round off"
_ALLOW_ROUNDING = 'Choose a wider type in column_types, or allow it with "round": True beside them.'


class MisfitError(Exception):
    """A value that a column cannot hold: its place in the array, why, and what to do where that is special."""

    def __init__(self, index: int, why: str, remedy: str | None = None):
        super().__init__(why)
        self.index = index
        self.why = why
        self.remedy = remedy


def refuse(wrong: ArrowArray, why: str, remedy: str | None = None) -> None:
    """Raise for the first value that is true.

    Raises:
        MisfitError: There is one.
    """
    where = pc.index(wrong, pa.scalar(True)).as_py()
    if where >= 0:
        raise MisfitError(where, why, remedy)


def to_decimals(array: ArrowArray, wanted: Any, *, rounding: bool = False) -> ArrowArray:
    """Floats or texts as decimals; a float counts as its shortest text, which reads back as the same float.

    Args:
        array: Floats or texts.
        wanted: A decimal type.
        rounding: Whether digits beyond its scale are rounded, half away from zero.

    Raises:
        MisfitError: A value is no finite number, or has digits that the type does not.

    Example:
        >>> to_decimals(pa.array([0.1]), pa.decimal128(5, 2)).to_pylist()
        [Decimal('0.10')]
    """
    texts = array.cast(pa.large_string())
    if not rounding:
        try:
            return texts.cast(wanted)
        except pa.ArrowException:
            pass  # looked at one by one, to say which it is
    exact = Decimal(1).scaleb(-wanted.scale)
    values: list[Decimal | None] = []
    for index, text in enumerate(texts.to_pylist()):
        number = None if text is None else _finite(text, index)
        if number is not None:
            try:
                rounded = number.quantize(exact, ROUND_HALF_UP, _WIDE)
            except InvalidOperation:
                raise MisfitError(index, f"it has more than {MAX_DIGITS} digits") from None
            if rounded != number and not rounding:
                raise MisfitError(index, _FINER, _ALLOW_ROUNDING)
            if rounded and rounded.adjusted() >= wanted.precision - wanted.scale:
                raise MisfitError(index, "it has more digits before the point")
            number = rounded
        values.append(number)
    return pa.array(values, wanted)


def _finite(text: str, index: int) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise MisfitError(index, "it is not a number") from None
    if not number.is_finite():
        raise MisfitError(index, "numbers of this type are finite")
    return number


def number_texts(array: ArrowArray) -> ArrowArray:
    """Floats or texts as texts of numbers without a declared scale, each of which can be read again.

    Raises:
        MisfitError: A value is no finite number, or has more than 38 digits.
    """
    texts = array.cast(pa.large_string())
    for index, text in enumerate(texts.to_pylist()):
        if text is None:
            continue
        _, digits, exponent = _finite(text, index).as_tuple()
        places = int(exponent)
        if max(len(digits) + max(places, 0), -places) > MAX_DIGITS:
            raise MisfitError(index, f"it has more than {MAX_DIGITS} digits")
    return texts


def to_floats(array: ArrowArray, wanted: pa.DataType, *, rounding: bool = False) -> ArrowArray:
    """Numbers or texts as floats of another width.

    A decimal or text is held exactly where the float's shortest text is the same number.

    Args:
        array: Floats, decimals, integers or texts.
        wanted: `float32` or `float64`.
        rounding: Whether the nearest float will do; what becomes infinite is refused all the same.

    Raises:
        MisfitError: A value would change.

    Example:
        >>> to_floats(pa.array([0.5]), pa.float32()).to_pylist()
        [0.5]
    """
    source = array.type
    if pa.types.is_float16(source):
        array, source = array.cast(pa.float32()), pa.float32()
    if source == wanted or pa.types.is_null(source):
        return array.cast(wanted)
    if pa.types.is_integer(source):
        return array.cast(wanted, safe=not rounding)
    if pa.types.is_floating(source):
        floats = array.cast(wanted, safe=False)
        _refuse_new_infinities(array, floats)
        if not rounding and source.bit_width > wanted.bit_width:
            same = pc.or_(pc.equal(floats.cast(source), array), pc.is_nan(array))
            refuse(pc.invert(same), _FINER, _ALLOW_ROUNDING)
        return floats
    # By way of texts: Arrow's own cast of decimals gives a neighbour of the nearest float.
    texts = array.cast(pa.large_string())
    floats = texts.cast(wanted)
    back = floats.cast(pa.large_string())
    for index, (text, kept) in enumerate(zip(texts.to_pylist(), back.to_pylist(), strict=True)):
        if text is None or kept is None:
            continue
        meant, held = Decimal(text.strip()), Decimal(kept)
        if not held.is_finite() and meant.is_finite():
            raise MisfitError(index, f"it is too large for {wanted}")
        if meant.is_finite() and meant != held and not rounding:
            raise MisfitError(index, _FINER, _ALLOW_ROUNDING)
    return floats


def _refuse_new_infinities(before: ArrowArray, after: ArrowArray) -> None:
    lost = pc.and_(pc.is_inf(after), pc.invert(pc.is_inf(before)))
    refuse(lost, f"it is too large for {after.type}")


def to_dates(array: ArrowArray) -> ArrowArray:
    """Days, or moments that are midnight, as dates of the years 1 to 9999.

    Raises:
        MisfitError: A moment has a time of day, or a day lies outside of those years.
    """
    days = array.cast(pa.date32())
    if pa.types.is_timestamp(array.type):
        refuse(pc.not_equal(days.cast(array.type), array), "it has a time of day")
    check_years(days)
    return days


def check_years(array: ArrowArray) -> None:
    """Refuse dates and moments that no reader could give back as one.

    Args:
        array: `date32`, or timestamps in microseconds.

    Raises:
        MisfitError: A year lies before 1 or after 9999.
    """
    days = pa.types.is_date32(array.type)
    numbers = array.cast(pa.int32() if days else pa.int64())
    unit = 1 if days else MICROSECONDS_PER_DAY
    first, last = FIRST_DAY * unit, (LAST_DAY + 1) * unit - 1
    bounds = pc.min_max(numbers)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    # Only the result becomes Python: comparing an array with a number would import pandas.
    if least is not None and (least < first or most > last):
        outside = pc.or_(pc.less(numbers, first), pc.greater(numbers, last))
        refuse(outside, "its year is not between 1 and 9999, so it could not be read again")


def check_clock(array: ArrowArray) -> None:
    """Refuse times of day that no clock shows.

    Args:
        array: Times in microseconds.

    Raises:
        MisfitError: A time is negative, or 24:00 and later.
    """
    numbers = array.cast(pa.int64())
    bounds = pc.min_max(numbers)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is not None and (least < 0 or most >= MICROSECONDS_PER_DAY):
        outside = pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, MICROSECONDS_PER_DAY))
        refuse(outside, "it is not a time of one day")
