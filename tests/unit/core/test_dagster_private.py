"""Private modules of Dagster are imported in `tranship.dagster_private` alone, and each says why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
HOME = CHECKOUT / "user_code/src/tranship/dagster_private"
SHIPPED = [
    file for folder in ("user_code/src", "localstack", "docker") for file in (CHECKOUT / folder).rglob("*.py")
]  # fmt: skip
_PRIVATE = re.compile(r"dagster(_\w+)?\.(.*\.)?_[^_]")


def private_imports(source: str) -> Iterator[str]:
    """Every private module of Dagster that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if _PRIVATE.match(name))


@pytest.mark.parametrize(
    ("line", "is_private"),
    [
        ("from dagster._core.events import JobFailureData", True),
        ("import dagster._core", True),
        ("from dagster import _core", True),
        ("def f():\n    from dagster_docker._utils import x", True),
        ("import dagster as dg", False),
        ("from dagster.components import Component", False),
        ("from tranship.dagster_private.tags import MAX_RETRIES_TAG", False),
    ],
)
def test_private_imports_are_known(line: str, is_private: bool):
    assert bool(list(private_imports(line))) is is_private


def test_no_other_module_imports_private_modules_of_dagster():
    assert {
        f"{file.relative_to(CHECKOUT)}: {name}"
        for file in SHIPPED
        if not file.is_relative_to(HOME)
        for name in private_imports(file.read_text())
    } == set()


@pytest.mark.parametrize("file", sorted(HOME.glob("[!_]*.py")), ids=lambda file: file.stem)
def test_each_concern_says_why_and_which_issue_would_end_it(file: Path):
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert re.search(r"^Private (because|although) ", text, re.MULTILINE)
    assert "https://github.com/dagster-io/dagster/" in text or "No issue asks for" in text
    assert list(private_imports(file.read_text()))
