"""The tree of errors in `tranship.errors`, its docstrings and docs/failures.md tell of the same errors."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documentation import texts_of

import tranship
from tranship import errors
from tranship.errors import TranshipError, TransientError

PAGE = Path(__file__).parents[3] / "docs/failures.md"


def every_error() -> list[type[TranshipError]]:
    """Every error of the library, in whichever module it is defined."""
    for module in pkgutil.walk_packages(tranship.__path__, "tranship."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    return [TranshipError, *_below(TranshipError)]


def _below(parent: type[TranshipError]) -> Iterator[type[TranshipError]]:
    for kind in parent.__subclasses__():
        if kind.__module__.startswith("tranship."):
            yield kind
            yield from _below(kind)


def drawn() -> list[tuple[str, str, str]]:
    """Each line of the tree: its parent's name, its name and what stands in brackets."""
    lines = re.findall(r"^( *)\* (\w+)(?: \((.*)\))?$", inspect.getdoc(errors) or "", re.MULTILINE)
    above: list[str] = []
    tree: list[tuple[str, str, str]] = []
    for indent, name, marks in lines:
        depth = (len(indent) - len(lines[0][0])) // 2
        tree.append((above[depth - 1] if depth else "Exception", name, marks))
        above[depth:] = [name]
    return tree


def as_drawn(kind: type[TranshipError]) -> tuple[str, str, str]:
    first, *others = (base.__name__ for base in kind.__bases__)
    marks = ["repeated"] if kind.transient else []
    marks += [f"also a {other}" for other in others]
    return first, kind.__name__, ", ".join(marks)


def rows() -> list[tuple[str, str]]:
    """The error's name and the words of each row of the page's table."""
    return re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGE.read_text(), re.MULTILINE)


def test_the_tree_is_drawn_as_it_is():
    assert sorted(drawn()) == sorted({as_drawn(kind) for kind in every_error()})


@pytest.mark.parametrize("name", [name for _, name, _ in drawn() if name != "TranshipError"])
def test_every_error_says_when_it_is_raised_and_what_to_do(name: str):
    (kind,) = {kind for kind in every_error() if kind.__name__ == name}
    when, *paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    assert when.endswith(".")
    assert [text for text in paragraphs if re.match(r"What to do: [A-Z].*\.$", text)]


def test_what_passes_is_a_transient_error_and_nothing_else_is():
    for kind in every_error():
        assert kind.transient is issubclass(kind, TransientError), kind.__name__


def test_the_page_has_every_error_and_none_that_is_not():
    assert {name for name, _ in rows()} == {kind.__name__ for kind in every_error()}


def test_the_page_names_what_is_repeated():
    section = PAGE.read_text().partition("## Tried again, or not")[2]
    repeated = {kind.__name__ for kind in every_error() if kind.transient}
    assert set(re.findall(r"`(\w+Error)`", section)) == repeated


def test_the_words_on_the_page_are_those_of_the_library():
    texts = texts_of("user_code/src/tranship")
    quoted = [
        piece.strip(" ,;:.").casefold()
        for _, words in rows()
        for quotation in re.findall(r"\*(.+?)\*", words)
        for piece in quotation.split("...")
    ]
    absent = [piece for piece in quoted if not any(piece in text for text in texts)]
    assert absent == []
