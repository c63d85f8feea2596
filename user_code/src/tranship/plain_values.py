"""Plain values as JSON and back: what passes between steps beside tables. Nothing that is read can run code.

Only what comes back as it was is taken: texts, numbers, truth values, bytes, dates and times, and lists, tuples, sets and
dicts of them.
"""

# What JSON gives has no type; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import base64
import json
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tranship.errors import ConfigurationError


def dumps(value: Any) -> bytes:
    """Write a value down.

    Raises:
        ConfigurationError: It is none of the plain values, or has one inside that is not.

    Example:
        >>> loads(dumps(("dbo", {1: [None, 2.5]})))
        ('dbo', {1: [None, 2.5]})
    """
    return json.dumps(_written(value), separators=(",", ":")).encode()


def loads(content: bytes) -> Any:
    """Read what `dumps` wrote."""
    return _read(json.loads(content))


def is_plain(value: Any) -> bool:
    """Whether a value is plain, as far as its own type says."""
    return value is None or type(value) in _PLAIN or isinstance(value, (*_MARKED, int, float))


_PLAIN = (str, int, float, bool, list)
_MARKED: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    tuple: ("tuple", lambda value: [_written(one) for one in value], tuple),
    set: ("set", lambda value: [_written(one) for one in value], set),
    frozenset: ("frozenset", lambda value: [_written(one) for one in value], frozenset),
    dict: ("dict", lambda value: [[_written(k), _written(v)] for k, v in value.items()], dict),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    datetime: (
        "datetime",
        lambda value: [value.isoformat(), value.fold],
        lambda parts: datetime.fromisoformat(parts[0]).replace(fold=parts[1]),
    ),
    date: ("date", date.isoformat, date.fromisoformat),
    time: (
        "time",
        lambda value: [value.isoformat(), value.fold],
        lambda parts: time.fromisoformat(parts[0]).replace(fold=parts[1]),
    ),
    timedelta: (
        "timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: timedelta(*parts),
    ),
    Decimal: ("decimal", str, Decimal),
    uuid.UUID: ("uuid", str, uuid.UUID),
}
_READERS = {mark: read for mark, _, read in _MARKED.values()}


def _written(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if type(value) is list:
        return [_written(one) for one in value]
    if type(value) in _MARKED:
        mark, write, _ = _MARKED[type(value)]
        return {mark: write(value)}
    # NumPy's floats are floats too; a member of an enum would come back as something else.
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _written(value.item())
    raise ConfigurationError(
        f"A {type(value).__module__}.{type(value).__qualname__} cannot be handed to the next step by the spool.",
        "Return a table, or a plain value: a text, number, date, or a list, tuple or dict of them. Give tables an output "
        "each, or another io_manager_key to what is neither.",
    )


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(one) for one in value]
    if isinstance(value, dict):
        ((mark, content),) = value.items()
        read = _READERS[mark]
        if mark == "dict":
            return {_read(k): _read(v) for k, v in content}
        if mark in {"tuple", "set", "frozenset"}:
            return read(_read(one) for one in content)
        return read(content)
    return value
