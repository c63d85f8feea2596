"""What can be set is documented, and what is documented can be set."""

import re
import subprocess

import pytest
from compose_stack import FILES, ROOT

VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)(?::?-([^}]*))?")
EXAMPLE = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
#: Compose's own: it is the project's name.
NOT_OURS = {"COMPOSE_PROJECT_NAME"}


def used_variables() -> dict[str, str]:
    # Read from the text: `docker compose config --variables` overlooks what stands in long forms of volumes.
    text = "\n".join((ROOT / file).read_text() for file in FILES)
    return {name: default for name, default in VARIABLE.findall(text) if name not in NOT_OURS}


def test_the_example_lists_every_variable_with_its_default():
    documented = dict(EXAMPLE.findall((ROOT / ".env.example").read_text()))
    assert documented == used_variables()


@pytest.mark.engine
def test_compose_itself_knows_of_no_other_variable():
    files = [part for file in FILES for part in ("--file", file)]
    told = subprocess.run(
        ["docker", "compose", *files, "config", "--variables"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[0] for line in told.stdout.splitlines()[1:]} - NOT_OURS
    assert names
    assert names <= dict(EXAMPLE.findall((ROOT / ".env.example").read_text())).keys()


def test_a_variable_has_the_same_default_wherever_it_stands():
    text = "\n".join((ROOT / file).read_text() for file in FILES)
    defaults: dict[str, set[str]] = {}
    for name, default in VARIABLE.findall(text):
        defaults.setdefault(name, set()).add(default)
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


@pytest.mark.parametrize("file", [*FILES, ".env.example"])
def test_no_password_is_written_down(file: str):
    text = (ROOT / file).read_text()
    assigned = re.findall(r"PASSWORD[A-Z_]*[:=]\s*(\S+)", text)
    files_and_variables = re.compile(r"""(&[a-z-]+|\*[a-z-]+|/run/secrets/.*|"\$\$\(.*)""")
    assert [value for value in assigned if not files_and_variables.fullmatch(value)] == []
