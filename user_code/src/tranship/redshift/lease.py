"""Says that staged files are in use: whoever removes what was left behind leaves them alone."""

import logging
import threading
from collections.abc import Callable

LONGEST_SILENCE_SECONDS = 3600.0
LONGEST_RENEWAL_SECONDS = 30.0


class Lease:
    """Renews a mark now and then, in a thread of its own, for as long as a block lasts.

    A COPY or a source may take longer than files of a write that died are left, and neither gives this process a chance
    to say so in between.

    Args:
        renew: Renews the mark.
        every_seconds: How often.
        log: Where a renewal that fails is told; the next one may succeed.
    """

    def __init__(
        self, renew: Callable[[], None], every_seconds: float, log: logging.Logger
    ) -> None:
        self._renew = renew
        self._every_seconds = every_seconds
        self._log = log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tranship-lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A renewal that is under way must not come after the files were removed.
        self._thread.join(LONGEST_RENEWAL_SECONDS)

    def _work(self) -> None:
        while not self._over.wait(self._every_seconds):
            try:
                self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one may succeed
                self._log.warning("The staged files could not be marked as in use: %s", error)
