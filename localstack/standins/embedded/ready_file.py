"""How a server of ours tells its starter that it listens, and where: a small JSON file."""

import json
import secrets
from pathlib import Path

from standins.embedded.process import GuardedProcess


def new_ready_file(directory: Path, name: str) -> Path:
    """Return the path of a ready file that does not exist yet."""
    return directory / f"{name}-{secrets.token_hex(4)}.ready"


def wait_for_port(process: GuardedProcess, ready_file: Path, timeout_seconds: float) -> int:
    """Wait until a server has written its ready file; returns the port it listens on.

    Raises:
        EmbeddedError: If the server ends first, or is not ready in time; it is stopped then.
    """
    try:
        process.wait_until(lambda: _read(ready_file) is not None, timeout_seconds)
        content = _read(ready_file)
        assert content is not None
        return int(content["port"])
    except BaseException:
        process.stop()
        raise
    finally:
        ready_file.unlink(missing_ok=True)


def _read(path: Path) -> dict | None:
    """Return the content, or None while the file is missing or half-written."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
