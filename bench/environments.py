"""One virtual environment for each peer, made when it is first needed, from pinned requirements."""

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOUSE = HERE.parent / ".bench"
"""Git-ignored: environments, and what a run leaves behind."""
OUR_OWN = "tranship"


class EnvironmentFailedError(Exception):
    """A peer's environment could not be made; the text says why."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment; tranship's is the checkout's own."""
    if peer == OUR_OWN:
        return Path(sys.executable)
    requirements = HERE / "peers" / f"{peer}.in"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    environment = HOUSE / "environments" / f"{peer}-{digest}"
    python = environment / "bin" / "python"
    complete = environment / ".complete"
    if not complete.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
        _run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                str(python),
                "-r",
                str(requirements),
            ]
        )
        complete.touch()
    return python


def pinned_version(peer: str, package: str) -> str:
    """The version of a package that a peer's requirements pin."""
    for line in (HERE / "peers" / f"{peer}.in").read_text().splitlines():
        name, _, version = line.partition("==")
        if name.partition("[")[0].strip() == package:
            return version.split("#")[0].strip()
    raise EnvironmentFailedError(f"bench/peers/{peer}.in does not pin {package}.")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailedError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
