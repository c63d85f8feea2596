"""`python -m gate` serves; `python -m gate check` asks a running gate, for the container's health check."""

import os
import sys

from gate.health import check, socket_paths


def main(arguments: list[str]) -> int:
    """Run the command; 2 when a setting is missing or malformed."""
    if arguments == ["check"]:
        return 0 if all(check(path) for path in socket_paths(os.environ).values()) else 1
    # Imported here: what serves takes a quarter of a second to import, more than the check itself.
    from gate.service import run

    return run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
