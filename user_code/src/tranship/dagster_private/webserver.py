"""Dagster's webserver with ASGI middleware of our own.

Private because its command line makes the server class itself and asks nobody for middleware; authentication, which asks for the
same, is https://github.com/dagster-io/dagster/issues/2219. Whoever calls this imports it late.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster_webserver.app
import dagster_webserver.cli
from dagster._cli import create_dagster_cli
from dagster._cli import dev as dagster_dev
from dagster_webserver.cli import create_dagster_webserver_cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware


def develop(arguments: Sequence[str], webserver: str) -> None:
    """Run `dagster dev`, which starts the webserver as a module, with another module in its place.

    Args:
        arguments: Those of `dagster dev`.
        webserver: The module.
    """
    # Both names are replaced where Dagster looks them up, which is not where they are made.
    original = dagster_dev.open_ipc_subprocess  # pyright: ignore[reportPrivateImportUsage]

    def start(parts: Sequence[str], **options: Any) -> Any:
        named = [webserver if part == "dagster_webserver" else part for part in parts]
        return original(named, **options)

    dagster_dev.open_ipc_subprocess = start  # pyright: ignore[reportPrivateImportUsage]
    create_dagster_cli()(["dev", *arguments])


def serve(*middleware: Callable[..., Any], socket_path: Path | None = None) -> None:
    """Run the command line of `dagster-webserver`, whose server asks our middleware first, outermost first.

    Args:
        middleware: ASGI middleware.
        socket_path: A Unix socket to listen at as well, in place of whatever is there.
    """

    class Guarded(DagsterWebserver[Any, Any]):
        def build_middleware(self) -> list[Middleware]:
            return [*map(Middleware, middleware), *super().build_middleware()]

    dagster_webserver.app.DagsterWebserver = Guarded  # pyright: ignore[reportPrivateImportUsage]
    if socket_path is not None:
        dagster_webserver.cli.uvicorn = _ListeningAt(socket_path)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    # The prefix that Dagster's own main() gives it: https://docs.dagster.io/api/clis/cli#dagster-webserver
    create_dagster_webserver_cli()(auto_envvar_prefix="DAGSTER_WEBSERVER")


class _ListeningAt:
    """Stands for the module `uvicorn` in Dagster's command line, which knows of one address only."""

    def __init__(self, socket_path: Path):
        self._socket_path = socket_path

    def run(self, app: Any, *, host: str, port: int, log_level: str) -> None:
        """Serve at the address and at the socket until the process is stopped."""
        import uvicorn

        config = uvicorn.Config(app, host=host, port=port, log_level=log_level)
        # One that is left of a killed process refuses connections for good.
        self._socket_path.unlink(missing_ok=True)
        at_path = uvicorn.Config(app, uds=str(self._socket_path), log_level=log_level)
        uvicorn.Server(config).run(sockets=[config.bind_socket(), at_path.bind_socket()])
