"""What can be set is documented, and what is documented can be set."""

import re
import subprocess
from pathlib import Path

import pytest
from compose_stack import ROOT, SHIPPED

#: A variable, and what stands in its place where it is not set; `${A:+b}` asks only whether it is.
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)(?:(?::?-((?:[^{}]|\$\{[^{}]*\})*))?\}|(:?\+))")
EXAMPLE = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
#: Compose's own: it is the project's name.
NOT_OURS = {"COMPOSE_PROJECT_NAME"}


def defaults() -> dict[str, set[str]]:
    """The defaults of every variable. One that depends on another variable counts as none."""
    text = "\n".join((ROOT / file).read_text() for file in SHIPPED)
    found: dict[str, set[str]] = {}
    for name, default, asked in VARIABLE.findall(text):
        values = found.setdefault(name, set())
        if not asked:
            values.add("" if default.startswith("${") else default)
    return {name: values for name, values in found.items() if name not in NOT_OURS}


def test_the_example_lists_every_variable_with_its_default():
    documented = dict(EXAMPLE.findall((ROOT / ".env.example").read_text()))
    assert documented == {name: next(iter(values)) for name, values in defaults().items()}


@pytest.mark.engine
def test_compose_itself_knows_of_no_other_variable(tmp_path: Path):
    # It lists them without putting them in: a service that extends another by a variable is none to it.
    for file in SHIPPED:
        lines = (ROOT / file).read_text().splitlines(keepends=True)
        (tmp_path / file).write_text("".join(line for line in lines if "extends:" not in line))
    files = [part for file in SHIPPED for part in ("--file", file)]
    told = subprocess.run(
        ["docker", "compose", *files, "config", "--variables"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[0] for line in told.stdout.splitlines()[1:]} - NOT_OURS
    assert names
    assert names <= dict(EXAMPLE.findall((ROOT / ".env.example").read_text())).keys()


def test_a_variable_has_the_same_default_wherever_it_stands():
    assert {name: values for name, values in defaults().items() if len(values) != 1} == {}


@pytest.mark.parametrize("file", [*SHIPPED, ".env.example"])
def test_no_password_is_written_down(file: str):
    text = (ROOT / file).read_text()
    assigned = re.findall(r"PASSWORD[A-Z_]*[:=]\s*(\S+)", text)
    files_and_variables = re.compile(r"""(&[a-z-]+|\*[a-z-]+|/run/secrets/.*|"\$\$\(.*)""")
    assert [value for value in assigned if not files_and_variables.fullmatch(value)] == []
