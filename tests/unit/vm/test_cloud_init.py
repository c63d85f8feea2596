"""The user data that ships: read as cloud-init reads it, and its commands as ./stack does."""

import re
import shlex
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[3]
TEXT = (CHECKOUT / "deploy/vm/cloud-init.yaml").read_text()
#: https://cloudinit.readthedocs.io/en/latest/reference/modules.html
KEYS = {"package_update": bool, "packages": list, "write_files": list, "runcmd": list}


def test_it_begins_as_cloud_init_wants_it_and_has_keys_that_it_knows():
    assert TEXT.startswith("#cloud-config\n")
    data = yaml.safe_load(TEXT)
    assert {key: type(value) for key, value in data.items()} == KEYS
    for file in data["write_files"]:
        assert set(file) <= {"path", "permissions", "content", "owner"}
        # A number would be read as another one.
        assert re.fullmatch("0[0-7]{3}", file["permissions"])
    assert all(isinstance(word, str) for command in data["runcmd"] for word in command)


def test_its_install_has_options_and_variables_that_there_are():
    (line,) = [
        command[-1] for command in yaml.safe_load(TEXT)["runcmd"] if "install --yes" in command[-1]
    ]
    words = shlex.split(line.partition("install ")[2].partition(" >")[0])
    script = (CHECKOUT / "deploy/vm/lib/install.sh").read_text()
    assert [
        word
        for word in words
        if word.startswith("--") and f"{word})" not in script and f"{word} |" not in script
    ] == []
    variables = [word.partition("=")[0] for word in words if word.startswith("TRANSHIP_")]
    known = (CHECKOUT / ".env.example").read_text()
    assert [name for name in variables if f"#{name}=" not in known] == []


def test_the_programs_that_it_calls_ship():
    for path in re.findall(r"/opt/tranship/([\w./-]+)", TEXT):
        assert (CHECKOUT / path).is_file(), path
