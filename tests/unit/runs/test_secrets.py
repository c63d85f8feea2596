"""Secrets as files: into the environment of one process, and nowhere else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tranship.runs.secrets import SecretsError, ensure_secrets, read_secrets


def shim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tranship.runs.secrets", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
    )


def test_a_command_finds_the_secrets_of_all_directories_in_its_environment(tmp_path: Path):
    for folder, name, value in [
        ("a", "ONE", "1\n"),
        ("b", "TWO", "zwei drei\n\n"),
        ("b", "SET", "file"),
    ]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(value)
    (tmp_path / "a" / "not-a-name").write_text("x")
    told = shim(
        "run", "--from", str(tmp_path / "a"), "--from", str(tmp_path / "b"), "--",
        "sh", "-c", 'echo "$ONE|$TWO|$SET"', SET="environment",
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (0, "1|zwei drei\n|environment\n")


def test_the_command_takes_the_shims_place_and_its_exit_code_passes(tmp_path: Path):
    assert shim("run", "--from", str(tmp_path), "--", "sh", "-c", "exit 7").returncode == 7


def test_a_missing_volume_is_told_with_its_path(tmp_path: Path):
    told = shim("run", "--from", str(tmp_path / "nothing"), "--", "true")
    assert told.returncode == 2
    assert f"The secrets in {tmp_path}/nothing cannot be read" in told.stderr


def test_a_missing_command_is_told_without_a_traceback(tmp_path: Path):
    told = shim("run", "--from", str(tmp_path), "--", "no-such-command")
    assert (told.returncode, told.stderr) == (
        127,
        "no-such-command cannot be started: No such file or directory\n",
    )


def test_a_secret_that_is_no_text_is_told_without_its_value(tmp_path: Path):
    (tmp_path / "ONE").write_bytes(b"hunter2\xff")
    with pytest.raises(SecretsError) as failure:
        read_secrets(tmp_path)
    assert "hunter2" not in str(failure.value)
    assert failure.value.__cause__ is None


def test_missing_secrets_are_made_once_and_given_ones_are_taken(tmp_path: Path):
    folder = tmp_path / "data"
    assert ensure_secrets(folder, ["GIVEN", "MADE"], {"GIVEN": "mine", "MADE": ""}) == [
        "GIVEN",
        "MADE",
    ]
    first = read_secrets(folder)
    assert first["GIVEN"] == "mine"
    assert all(re.search(kind, first["MADE"]) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[-_]"))
    assert ensure_secrets(folder, ["GIVEN", "MADE"], {"GIVEN": "other"}) == []
    assert read_secrets(folder) == first
    assert {file.name for file in folder.iterdir()} == {"GIVEN", "MADE"}


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path):
    with pytest.raises(SecretsError):
        ensure_secrets(tmp_path, ["../x"], {})


def test_the_shim_starts_without_dagster():
    told = subprocess.run(
        [sys.executable, "-c", "import tranship.runs.secrets, sys; print([m for m in sys.modules if 'dagster' in m or 'docker' in m])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "[]\n"
