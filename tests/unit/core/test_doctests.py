"""The examples in the core's docstrings run and print what they say."""

import doctest
import importlib
import warnings

import pytest

MODULES = [
    *("errors", "failures", "fitting", "frames", "io_manager", "names", "partitions"),
    *("reads", "retry", "slices", "tables", "writes"),
]
WITHOUT_EXAMPLES = {"fitting"}


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_examples_print_what_they_say(name: str):
    module = importlib.import_module(f"tranship.{name}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)

    assert result.failed == 0
    assert (result.attempted > 0) == (name not in WITHOUT_EXAMPLES)
