"""A user's folder of pipelines: beside ours, with our resources, and told in a sentence where it is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASSET = """
import dagster as dg

from pipelines.helpers import GROUP

@dg.asset(group_name=GROUP, required_resource_keys={"postgres"})
def mine() -> None: ...
"""
LIST = """
from etl.definitions import defs
repository = defs().get_repository_def()
print(sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helpers.py").write_text("GROUP = 'ours'\n")
    return folder


def python(own: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRANSHIP_OWN_PIPELINES": str(own.parent)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def check(own: Path) -> tuple[int, str]:
    done = python(own, "-m", "tranship.runs.own_pipelines", "etl.definitions")
    return done.returncode, done.stderr.strip()


def test_what_is_in_the_folder_is_beside_what_ships(own: Path):
    (own / "mine.py").write_text(ASSET)
    shown = python(own, "-c", LIST)
    assert shown.returncode == 0, shown.stderr
    assert "'mine'" in shown.stdout
    assert "staging/DimProduct" in shown.stdout
    assert check(own) == (0, "")


def test_without_a_folder_there_is_what_ships(tmp_path: Path):
    assert check(tmp_path / "pipelines") == (0, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import dagster as dg\n\ndef (:\n", "mine.py, line 3: invalid syntax."),
        ("\nimport no_such_module\n", "mine.py, line 2: ModuleNotFoundError: No module named 'no_such_module'."),
        ("LIMIT = 1 / 0\n", "mine.py, line 1: ZeroDivisionError: division by zero."),
    ],
)  # fmt: skip
def test_broken_code_is_told_by_its_file_and_line(own: Path, text: str, told: str):
    (own / "mine.py").write_text(text)
    code, words = check(own)
    assert code == 1
    assert words == (
        f"Your pipelines cannot be loaded: {told} Correct it there (TRANSHIP_DEFS), and start again: ./stack up."
    )


def test_an_asset_that_ships_already_is_told(own: Path):
    (own / "mine.py").write_text(
        "import dagster as dg\n\n@dg.asset(key=['staging', 'dim_product'])\ndef mine() -> None: ...\n"
    )
    code, words = check(own)
    assert code == 1
    assert "staging" in words
    assert "dim_product" in words
    assert "Traceback" not in words
