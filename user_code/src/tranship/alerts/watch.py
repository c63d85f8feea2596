"""The process that tells when Dagster itself is dead. Its settings are those of the alert sensors.

    python -m tranship.alerts.watch              watch until stopped
    python -m tranship.alerts.watch --once       look once; the exit code is 1 when something is dead
    python -m tranship.alerts.watch --healthy    whether a watcher on this machine looked lately

`DAGSTER_HOME` names the instance, as for the daemon.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

ALIVE = Path(tempfile.gettempdir()) / "tranship-alerts-watch"
_LOGGER = logging.getLogger("tranship.alerts.watch")


def main(arguments: list[str]) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tranship.alerts.watch")
    parser.add_argument("--once", action="store_true", help="look once, and say what is dead")
    parser.add_argument("--healthy", action="store_true", help="whether a watcher looked lately")
    parser.add_argument("--every-seconds", type=float, default=15.0)
    parser.add_argument(
        "--max-silence-seconds",
        type=float,
        default=120.0,
        help="how old a heartbeat may be; a daemon writes one every 30 seconds",
    )
    chosen = parser.parse_args(arguments)
    if chosen.healthy:
        return _healthy(chosen.every_seconds)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tranship").setLevel(logging.INFO)
    return _watch(chosen)


def _healthy(every_seconds: float) -> int:
    # A look lasts as long as the slowest channel is given.
    allowed = 4 * every_seconds + 60
    try:
        silent = time.time() - ALIVE.stat().st_mtime
    except FileNotFoundError:
        sys.stderr.write("the watcher has not looked yet\n")
        return 1
    if silent > allowed:
        sys.stderr.write(f"the watcher has not looked for {silent:.0f} s\n")
        return 1
    return 0


def _watch(chosen: argparse.Namespace) -> int:
    # Imported where they are needed: neither the health check nor a wrong setting waits for Dagster.
    from tranship.alerts.settings import HOW_TO_CONFIGURE, AlertSettings
    from tranship.errors import ConfigurationError

    settings = AlertSettings.from_environment(os.environ)
    try:
        channels = settings.channels()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    import dagster as dg

    from tranship.alerts.incidents import Kind
    from tranship.alerts.watcher import Watcher

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if channels:
        _LOGGER.info("Watching; tells %s.", ", ".join(channel.name for channel in channels))
    else:
        _LOGGER.warning(HOW_TO_CONFIGURE)
    watcher = Watcher(
        dg.DagsterInstance.get,
        channels,
        ui_url=settings.ui_url,
        max_silence_seconds=chosen.max_silence_seconds,
        # A single look knows of no earlier moment to count from.
        grace=not chosen.once,
    )
    if not chosen.once:
        watcher.run(stop, every_seconds=chosen.every_seconds, alive=ALIVE)
        return 0
    dead = watcher.look().open(Kind.DAEMON)
    for incident in dead:
        sys.stdout.write(f"{incident.trouble.subject}: {incident.trouble.cause}\n")
    return 1 if dead else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
