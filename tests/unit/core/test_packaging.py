"""What the library imports is what its project file asks for, so that it can be installed alone."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import tranship

LIBRARY = Path(tranship.__file__).parent
PROJECT = tomllib.loads((LIBRARY.parents[1] / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {
    "graphql": "graphql-core",
    "mssql_python": "mssql-python",
    "psycopg2": "psycopg2-binary",
    "yaml": "pyyaml",
}
COMES_WITH_DAGSTER = {"dagster-shared", "pydantic"}
OF_THE_EXTRA_RUNS = {"docker", "dagster_docker", "dagster_postgres"}
OF_THE_EXTRA_WEBSERVER = {"dagster-webserver", "graphql-core", "starlette"}


def imported_at_once(file: Path) -> set[str]:
    """The packages that importing a module imports; those inside functions and for types are not."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"tranship"}


@pytest.mark.parametrize(
    "file", sorted(LIBRARY.rglob("*.py")), ids=lambda file: str(file.relative_to(LIBRARY))
)
def test_a_module_imports_only_what_is_asked_for(file: Path):
    asked = {
        re.split(r"[\[<>=;~! ]", wanted)[0] for wanted in PROJECT["dependencies"]
    } | COMES_WITH_DAGSTER
    if file.parent.name == "runs":
        asked |= OF_THE_EXTRA_RUNS
    if file.parent.name == "webserver" or file.name == "webserver.py":
        asked |= OF_THE_EXTRA_WEBSERVER
    imported = {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in imported_at_once(file)}
    assert imported <= {name.replace("_", "-") for name in asked}


def test_every_extra_that_an_error_names_exists():
    assert {"pandas", "polars", "redshift", "runs", "webserver"} <= set(
        PROJECT["optional-dependencies"]
    )
