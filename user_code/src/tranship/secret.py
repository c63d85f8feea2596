"""Texts that must not be shown, and calls whose tracebacks must not show what they were given.

A traceback can carry the local variables of every frame (pytest, Sentry and `rich` show them), a log can print a
dictionary of settings: both print the `repr` of what they find.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from typing_extensions import override

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


class Secret(str):
    """A text as any other, but for its `repr`.

    Example:
        >>> {"user": "etl", "password": Secret("hunter2")}
        {'user': 'etl', 'password': '***'}
        >>> Secret("hunter2") == "hunter2"
        True
    """

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "'***'"


def hides_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the traceback of a function's errors begin at its caller: the frames inside hold what it was given.

    What the error says stays; the errors that led to it are dropped with their frames.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised again below, without its frames
            failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        del args, kwargs
        raise failure

    return call


def quiet(kind: type[_T]) -> type[_T]:
    """Let no refusal of a class's constructor show what it was given; stands above `@dataclass`."""
    kind.__init__ = hides_arguments(kind.__init__)
    return kind


def hide(value: object, *names: str) -> None:
    """Make secrets of attributes that hold texts, those of a frozen dataclass too."""
    for name in names:
        if text := getattr(value, name):
            object.__setattr__(value, name, Secret(text))
