"""`python -m login` serves, `python -m login check` asks a running service; `users` and `sessions` are commands of its state."""

import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the service or a command."""
    # Imported when wanted: a health check that imports the whole service takes longer than the answer.
    if not arguments:
        from login.service import run

        return run(os.environ)
    if arguments == ["check"]:
        from login.health import check

        return check(Path(os.environ.get("LOGIN_SOCKET") or "/run/door/login/login.sock"))
    from login.commands import main as command

    return command(arguments, os.environ)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
