"""`python -m edge` serves; `python -m edge check` asks a running edge, for the container's health check."""

import os
import sys

from edge.health import check
from edge.settings import Settings, SettingsError
from edge.supervisor import run


def main(arguments: list[str]) -> int:
    """Run the command; 2 when a setting is missing or malformed."""
    if arguments != ["check"]:
        return run(os.environ)
    try:
        return check(Settings.from_environment(os.environ))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
