"""The examples in the docstrings run and print what they say."""

import doctest
import importlib

import pytest

MODULES = [
    "present_state",
    "incidents",
    "notices",
    "pages",
    "rendering",
    "runs",
    "sensors",
    "settings",
]


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_examples_print_what_they_say(name: str):
    result = doctest.testmod(importlib.import_module(f"tranship.alerts.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
