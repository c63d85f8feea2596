"""Runs Caddy, and gives it new configuration when a certificate of one's own has been replaced."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edge.caddyfile import caddyfile
from edge.certificates import CertificateError, Pair, forget, take
from edge.settings import FILES, Settings, SettingsError

LOOK_SECONDS = 5
RELOAD_SECONDS = 30


def run(environment: Mapping[str, str]) -> int:
    """Serve until stopped; 2 when a setting or a certificate cannot be used."""
    try:
        settings = Settings.from_environment(environment)
        settings.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        pair = take(settings) if settings.tls == FILES else None
    except (SettingsError, CertificateError) as error:
        sys.stderr.write(f"{error} See docker/edge/README.md.\n")
        return 2
    caddy = Caddy(settings)
    caddy.start(pair)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: caddy.stop())
    watch = Watch(settings, caddy, pair)
    while (code := caddy.wait(LOOK_SECONDS)) is None:
        watch.look()
    return code


class Caddy:
    """Caddy as a process of ours.

    Args:
        settings: The edge's settings.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._config = settings.run / "Caddyfile"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, pair: Pair | None) -> None:
        """Start it with its configuration."""
        self._write(self._config, pair)
        self._process = subprocess.Popen(["caddy", "run", *_of(self._config)])

    def reload(self, pair: Pair) -> bool:
        """Give it new configuration; whether it took it. Connections go on."""
        draft = self._config.with_suffix(".new")
        self._write(draft, pair)
        address = f"unix/{self._settings.run / 'admin.sock'}"
        command = ["caddy", "reload", *_of(draft), "--address", address]
        try:
            done = subprocess.run(command, timeout=RELOAD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def wait(self, seconds: float) -> int | None:
        """Its exit code, if it ends within this time."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def _write(self, path: Path, pair: Pair | None) -> None:
        certificate, key = (pair.certificate, pair.key) if pair else (None, None)
        path.write_text(caddyfile(self._settings, certificate, key))


def _of(config: Path) -> list[str]:
    return ["--config", os.fspath(config), "--adapter", "caddyfile"]


class Watch:
    """Looks whether the files of a certificate are others than those that are served.

    Args:
        settings: The edge's settings.
        caddy: Who serves them.
        served: Those that are served; `None` where certificates are not files of ours.
    """

    def __init__(self, settings: Settings, caddy: Caddy, served: Pair | None):
        self._settings = settings
        self._caddy = caddy
        self._served = served
        self._complaint = ""

    def look(self) -> None:
        """Look once, and have others served where there are."""
        if self._served is None:
            return
        try:
            pair = take(self._settings)
        except CertificateError as error:
            # Half replaced, or wrong: the log says it once.
            if str(error) != self._complaint:
                self._complaint = str(error)
                sys.stderr.write(f"{error} The certificate of before is served on.\n")
            return
        if pair == self._served:
            return
        if not self._caddy.reload(pair):
            forget(pair)
            return
        sys.stderr.write("The certificate was replaced; the new one is served now.\n")
        self._complaint = ""
        forget(self._served)
        self._served = pair
