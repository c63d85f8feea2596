"""The examples in the commands' docstrings run and print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["configuration", "heuristics", "kept_bookmarks", "proposals"])
def test_a_modules_examples_print_what_they_say(name: str):
    result = doctest.testmod(importlib.import_module(f"tranship.cli.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
