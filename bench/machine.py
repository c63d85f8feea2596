"""Where figures were measured: processor, memory, system. Never the machine's name."""

import datetime
import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, str]:
    """The machine and the date, as readers of the figures need them."""
    cores = len(os.sched_getaffinity(0))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{cores} cores of {_processor()}",
        "memory": f"{_memory_gigabytes():.0f} GB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": f"{os.getloadavg()[0]:.1f} processes were running when the measurement began",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gigabytes() -> float:
    first = Path("/proc/meminfo").read_text().splitlines()[0]
    return int(first.split()[1]) / 2**20
