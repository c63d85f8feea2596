"""JSON that can be read in only one way: what two parsers could understand differently is refused.

The engine's parser (Go) takes the last of duplicate keys, and matches keys without regard to case. The
gate must never judge another body than the one the engine would act on.
"""

import json
import re
from collections.abc import Sequence
from typing import NoReturn

from gate.refusals import malformed

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 12

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse_object(raw: bytes) -> dict[str, object]:
    """Parse a request body that must be one JSON object.

    Args:
        raw: The body as received.

    Returns:
        The object; nested objects are plain dicts.

    Raises:
        RefusedError: 400 when the body is too large, not UTF-8, not JSON, too deep, not an object, has a
            duplicate key, a number that is not finite, a NUL or half of a surrogate pair.

    Example:
        >>> parse_object(b'{"Image": "a"}')
        {'Image': 'a'}
    """
    if len(raw) > MAX_BODY_BYTES:
        raise malformed(f"the body is longer than {MAX_BODY_BYTES} bytes")
    try:
        text = raw.decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        raise malformed("the body is not UTF-8") from None
    _refuse_depth(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise malformed("the body is not a JSON object")
    _refuse_odd_strings(value)
    return value


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
        elif token[0] in "]}":
            depth -= 1


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise malformed(f"the body has the key {key[:80]!r} twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise malformed(f"the body holds {name}, which is not JSON")


def _refuse_odd_strings(value: object) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise malformed("the body holds a NUL or half of a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_odd_strings(key)
            _refuse_odd_strings(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd_strings(item)
