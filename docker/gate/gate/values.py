"""Checks of one JSON value each: the value comes back typed, or the request is refused naming the key."""

import posixpath
import re
from collections.abc import Iterable, Mapping

from gate.refusals import forbidden, malformed


def fields(value: Mapping[str, object], allowed: Iterable[str], where: str) -> dict[str, object]:
    """Give an object's allowed keys in their proper spelling; every other key must be empty."""
    canonical = {name.lower(): name for name in allowed}
    seen: set[str] = set()
    found: dict[str, object] = {}
    for key, item in value.items():
        if not key.isascii() or key.lower() in seen:
            raise malformed(f"{where}{key[:80]!r} is not plain ASCII, or is there twice")
        seen.add(key.lower())
        name = canonical.get(key.lower())
        if name is not None:
            found[name] = item
        elif item:
            raise forbidden(f"{where}{key[:80]} is not allowed")
    return found


def whole(value: object, where: str, highest: int, *, lowest: int = 1) -> int:
    """Check a whole number against its bounds, both included."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise malformed(f"{where} must be a whole number")
    if not lowest <= value <= highest:
        raise forbidden(f"{where} is {value}, which is not within {lowest} and {highest}")
    return value


def flag(value: object, where: str) -> bool:
    """Check a boolean; nothing counts as false."""
    if value is not None and not isinstance(value, bool):
        raise malformed(f"{where} must be true or false")
    return bool(value)


def mapping(value: object, where: str) -> dict[str, object]:
    """Check an object; nothing counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(f"{where} must be an object")
    return value


def items(value: object, where: str) -> list[object]:
    """Check a list; nothing counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(f"{where} must be a list")
    return value


def strings(value: object, where: str) -> list[str]:
    """Check a list of texts."""
    return [text(item, where, empty=True) for item in items(value, where)]


def text(value: object, where: str, *, empty: bool = False) -> str:
    """Check a text."""
    if not isinstance(value, str):
        raise malformed(f"{where} must be a text")
    if not value and not empty:
        raise forbidden(f"{where} is empty")
    return value


def matching(value: object, pattern: re.Pattern[str], where: str) -> str:
    """Check a text against a pattern."""
    found = text(value, where)
    if not pattern.fullmatch(found):
        raise forbidden(f"{where} is {found[:80]!r}, which is not allowed")
    return found


def absolute(value: object, where: str) -> str:
    """Check an absolute path that can be read in one way only."""
    path = text(value, where)
    if not path.isprintable() or posixpath.normpath(path) != path or not path.startswith("/"):
        raise forbidden(f"{where} must be an absolute path without . and ..")
    if path == "/" or path.startswith("//") or ":" in path:
        raise forbidden(f"{where} must be a directory below /, without a colon")
    return path


def directory(value: object, where: str, allowed: Iterable[str]) -> str:
    """Check an absolute path that is one of the allowed directories, or below one."""
    path = absolute(value, where)
    if not any(path == above or path.startswith(f"{above}/") for above in allowed):
        raise forbidden(
            f"{where} is {path[:80]!r}, which is not below {', '.join(sorted(allowed))} (GATE_DIRECTORIES)"
        )
    return path
