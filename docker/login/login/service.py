"""The service as a process, at a Unix socket that only the edge mounts."""

import sys
from collections.abc import Mapping

import uvicorn

from login.application import application
from login.audit import write_line
from login.settings import Settings, SettingsError
from login.users import UsersFile


def run(environment: Mapping[str, str]) -> int:
    """Serve until stopped; 2 when a setting is missing or malformed."""
    try:
        settings = Settings.from_environment(environment)
        app = application(settings)
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"{error} See docker/login/README.md.\n")
        return 2
    if "users" in settings.ways and not UsersFile(settings.state).all():
        write_line({"warning": "There is no user: add one with `python -m login users add NAME`."})
    # One that is left of a killed process refuses connections for good.
    settings.socket.unlink(missing_ok=True)
    uvicorn.run(
        app,
        uds=str(settings.socket),
        log_level="warning",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return 0
