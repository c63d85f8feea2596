"""`import tranship` is the library's front door: all its names, and nothing heavy behind it."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tranship

_HEAVY = ("dagster", "pandas", "polars", "pyarrow", "boto3", "sqlalchemy", "psycopg2")


@pytest.mark.parametrize("name", tranship.__all__)
def test_every_name_of_the_front_door_is_the_one_of_its_module(name: str):
    home = importlib.import_module(f"tranship.{tranship._HOMES[name]}")
    assert getattr(tranship, name) is getattr(home, name)
    assert name in dir(tranship)


def test_type_checkers_and_readers_are_given_the_same_names():
    tree = ast.parse(Path(tranship.__file__).read_text())
    for_types = {
        alias.name: node.module.removeprefix("tranship.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tranship.")
        for alias in node.names
    }
    assert for_types == tranship._HOMES
    assert set(for_types) == set(tranship.__all__)


def test_importing_the_library_imports_nothing_heavy():
    program = (
        "import json, sys, tranship;"
        f"print(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert json.loads(output) == []


def test_a_name_that_the_library_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tranship' has no attribute 'Tabelname'"):
        tranship.Tabelname  # noqa: B018
