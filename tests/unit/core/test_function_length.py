"""A function of the library fits on a screen, or its docstring says why it is one piece."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tranship

LIBRARY = Path(tranship.__file__).parent
MOST_LINES = 40
REASON = re.compile(r"(?:^|[.!?:]\s+|\n\s*\n?)One piece because ")
Function = ast.FunctionDef | ast.AsyncFunctionDef
FILES = sorted(LIBRARY.rglob("*.py"))


def functions(source: str) -> Iterator[Function]:
    """Every function and method of a module, those inside of others too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """The lines of a function from its `def` on, its docstring not counted."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def too_long(source: str) -> list[str]:
    """The functions that are over the limit without a reason, each with its lines."""
    return [
        f"{function.name}: {lines_of(function)} lines"
        for function in functions(source)
        if lines_of(function) > MOST_LINES and not REASON.search(ast.get_docstring(function) or "")
    ]


def function(lines: int, docstring: str = "") -> str:
    body = [f'    """{docstring}"""'] if docstring else []
    return "\n".join(["def f():", *body, *["    x = 1"] * (lines - 1)])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (function(40), []),
        (function(41), ["f: 41 lines"]),
        (function(40, "Long.\n\n    Words.\n    "), []),
        (function(41, "Long."), ["f: 41 lines"]),
        (function(41, "Long.\n\n    One piece because its cases are read together.\n    "), []),
        (function(41, "Long. One piece because its cases are read together."), []),
        ("class C:\n    " + function(41).replace("\n", "\n    "), ["f: 41 lines"]),
    ],
)
def test_long_functions_without_a_reason_are_known(source: str, expected: list[str]):
    assert too_long(source) == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(LIBRARY)))
def test_a_function_fits_on_a_screen_or_says_why_it_is_one_piece(file: Path):
    assert too_long(file.read_text()) == [], (
        f"Split it by sense, or let its docstring have a sentence that begins with "
        f'"One piece because" ({MOST_LINES} lines are the limit).'
    )
