"""The command line: `dagster-webserver` with the same options, behind `OwnPagesOnly`; `dev` in front of them is `dagster dev`."""

import sys
from functools import partial
from pathlib import Path

from tranship.webserver.front_door import FrontDoor
from tranship.webserver.own_pages import OwnPagesOnly

SOCKET_OPTION = "--front-door-socket="


def main() -> None:
    """Serve until the process is stopped."""
    from tranship.dagster_private.webserver import develop, serve

    if sys.argv[1:2] == ["dev"]:
        develop(sys.argv[2:], "tranship.webserver")
        return
    sockets = [
        part.removeprefix(SOCKET_OPTION) for part in sys.argv if part.startswith(SOCKET_OPTION)
    ]
    sys.argv = [part for part in sys.argv if not part.startswith(SOCKET_OPTION)]
    front_door = partial(FrontDoor, read_only="--read-only" in sys.argv)
    serve(OwnPagesOnly, front_door, socket_path=Path(sockets[-1]) if sockets else None)


if __name__ == "__main__":
    main()
