"""What can be set is documented, and what is documented can be set."""

import re

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
