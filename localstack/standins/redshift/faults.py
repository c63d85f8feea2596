"""Faults that tests arm: connections cut around COPY and COMMIT, delays, errors of choice.

Arm them from any thread; each is used up by the first session that meets it.
"""

import re
import threading
from dataclasses import dataclass


class ConnectionCutError(ConnectionError):
    """A fault says that this client's connection ends now."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault.

    Attributes:
        point: `statement`, `copy`, `before commit` or `after commit`.
        action: `cut`, `delay` or `fail`.
        pattern: it strikes only statements this regular expression finds.
    """

    point: str
    action: str
    seconds: float = 0.0
    sqlstate: str = "XX000"
    message: str = ""
    detail: str | None = None
    pattern: str = ""


class Faults:
    """The armed faults of one stand-in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._struck: list[Fault] = []

    @property
    def struck(self) -> list[Fault]:
        """Faults that were met, in order."""
        with self._lock:
            return list(self._struck)

    def arm(self, fault: Fault) -> None:
        """Arm a fault."""
        with self._lock:
            self._armed.append(fault)

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()
            self._struck.clear()

    def cut_during_copy(self) -> None:
        """Cut the next COPY's connection when half of its data went to the table."""
        self.arm(Fault("copy", "cut"))

    def cut_before_commit(self) -> None:
        """Cut the connection of the next COMMIT; nothing is committed."""
        self.arm(Fault("before commit", "cut"))

    def cut_after_commit(self) -> None:
        """Cut the connection of the next COMMIT after it took effect, before the client hears."""
        self.arm(Fault("after commit", "cut"))

    def delay_copy(self, seconds: float) -> None:
        """Hold the next COPY up once its first rows are in the table."""
        self.arm(Fault("copy", "delay", seconds=seconds))

    def fail_next(
        self,
        sqlstate: str = "XX000",
        message: str = "1023",
        detail: str | None = "Serializable isolation violation on table - 1",
        pattern: str = "",
    ) -> None:
        """Refuse the next statement (that `pattern` finds) with an error of choice."""
        fault = Fault(
            "statement", "fail", sqlstate=sqlstate, message=message, detail=detail, pattern=pattern
        )
        self.arm(fault)

    def take(self, point: str, text: str = "") -> Fault | None:
        """The first armed fault for this point and statement, which is then used up."""
        with self._lock:
            for fault in self._armed:
                if fault.point == point and re.search(fault.pattern, text, re.IGNORECASE):
                    self._armed.remove(fault)
                    self._struck.append(fault)
                    return fault
        return None
