"""The command line: `dagster-webserver` with the same options, behind `OwnPagesOnly`; `dev` in front of them is `dagster dev`."""

import sys

from tranship.webserver.own_pages import OwnPagesOnly


def main() -> None:
    """Serve until the process is stopped."""
    from tranship.dagster_private.webserver import develop, serve

    if sys.argv[1:2] == ["dev"]:
        develop(sys.argv[2:], "tranship.webserver")
    else:
        serve(OwnPagesOnly)


if __name__ == "__main__":
    main()
