"""The first process of a run container: secrets into its environment, then Dagster in the same process."""

import os
import subprocess
import sys
from pathlib import Path

from tranship.runs.worker import worker_command


def worker(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        worker_command([str(folder)], command, python=sys.executable),
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        cwd=folder,
        check=False,
    )


def test_dagster_runs_with_the_secrets_and_finds_user_code_as_its_own_command_would(
    tmp_path: Path,
):
    secrets, home, code = (tmp_path / name for name in ("secrets", "home", "code"))
    for folder in (secrets, home, code):
        folder.mkdir()
    (secrets / "WORD").write_text("spoken")
    (code / "pipelines.py").write_text(
        "import os, pathlib, dagster as dg\n"
        "@dg.op\n"
        "def speak():\n"
        "    pathlib.Path(os.environ['DAGSTER_HOME'], 'said').write_text(os.environ['WORD'])\n"
        "@dg.job\n"
        "def speaking():\n"
        "    speak()\n"
    )
    told = worker(
        secrets, "dagster", "job", "execute", "-m", "pipelines", "-a", "speaking",
        PYTHONPATH=os.pathsep.join([*filter(None, sys.path), str(code)]), DAGSTER_HOME=str(home),
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    # Not from its output: Dagster may lose a step's last lines (https://github.com/dagster-io/dagster/issues/23336).
    assert (home / "said").read_text() == "spoken"


def test_the_exit_code_is_dagsters(tmp_path: Path):
    told = worker(tmp_path, "dagster", "no-such-command")
    assert told.returncode == 2
    assert "No such command 'no-such-command'" in told.stderr


def test_an_entry_point_of_the_code_locations_own_is_started_with_the_secrets(tmp_path: Path):
    (tmp_path / "WORD").write_text("spoken")
    told = worker(tmp_path, "sh", "-c", 'echo "$WORD"; exit 7')
    assert (told.returncode, told.stdout) == (7, "spoken\n")


def test_a_missing_volume_is_told_with_its_path(tmp_path: Path):
    command = worker_command([str(tmp_path / "nothing")], ["true"], python=sys.executable)
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert f"The secrets in {tmp_path}/nothing cannot be read" in told.stderr


def test_without_secrets_the_command_is_dagsters_own():
    assert worker_command([], ["dagster", "api"]) == ["dagster", "api"]
