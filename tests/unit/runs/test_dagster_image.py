"""The image of the webserver and the daemon holds every module of the library that they import."""

import ast
import re
from pathlib import Path

import tranship

CHECKOUT = Path(__file__).parents[3]
SOURCE = CHECKOUT / "user_code/src"
LIBRARY = Path(tranship.__file__).parent


def copied() -> set[str]:
    """The modules that the Dockerfile copies."""
    dockerfile = (CHECKOUT / "docker/dagster/Dockerfile").read_text()
    paths = re.findall(r"user_code/src/(tranship/\S+)", dockerfile)
    files = [
        file
        for path in paths
        for file in ([SOURCE / path] if path.endswith(".py") else (SOURCE / path).rglob("*.py"))
    ]
    return {module_of(file) for file in files}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imported_at_once(module: str) -> set[str]:
    file = SOURCE / Path(*module.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return {
        node.module
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tranship.")
    }


def test_what_the_copied_modules_import_is_copied_too():
    modules = copied()
    missing = {
        f"{module} imports {imported}"
        for module in modules
        for imported in imported_at_once(module)
        if imported not in modules
    }
    assert missing == set()
