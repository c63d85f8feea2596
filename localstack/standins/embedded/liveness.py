"""Looks at a process from outside: whether it still runs."""

import subprocess
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended but was not yet collected does not."""
    if Path("/proc/self").exists():
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return status.rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith(b"Z")


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for a process to end; returns whether it did."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
