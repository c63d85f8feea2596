"""What a system's refusal means: one list per system, of codes and words, each entry with where it is documented."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tranship.errors import TranshipError, TransientError


@dataclass(frozen=True, slots=True)
class KnownFault:
    """One thing that a system says, and what to make of it.

    Args:
        codes: The numbers or SQLSTATEs under which the system lists it.
        meaning: What happened, as a sentence without its full stop; `{name}` is filled by the caller, best with the words' groups too.
        source: The page that documents it.
        words: A regular expression for what the system says, in any case; empty where the code decides.
        remedy: What to do, filled likewise. What passes needs none.
        kind: The error it becomes; a `TransientError` is tried again.
    """

    codes: tuple[str, ...]
    meaning: str
    source: str
    words: str = ""
    remedy: str = ""
    kind: type[TranshipError] = TransientError

    def error(
        self,
        values: Mapping[str, object],
        message: str = "",
        *,
        before: str = "",
        details: Mapping[str, object] | None = None,
    ) -> TranshipError:
        """The error a user meets.

        Args:
            values: What the sentences may name.
            message: The system's own words, which are kept.
            before: What comes before the meaning: what was under way.
            details: Facts to show apart.
        """
        meaning = self.meaning.format_map(values)
        what = f"{before}{meaning}: {message}" if message else f"{before}{meaning}."
        return self.kind(what, self.remedy.format_map(values), details=details)


def known_fault(
    faults: Sequence[KnownFault], message: str, code: str | None = None
) -> "tuple[KnownFault, re.Match[str] | None] | None":
    """The first entry of a list that fits, with where its words were found; `None` where none does.

    Args:
        faults: A system's list; what is more particular comes first.
        message: What the system said.
        code: Its code, where the driver gives one; an entry without words is found by it.

    Example:
        >>> faults = [KnownFault(("1205",), "A deadlock.", "https://example.com", words="deadlocked")]
        >>> known_fault(faults, "Transaction was DEADLOCKED on lock")[0].meaning
        'A deadlock.'
    """
    for fault in faults:
        if not fault.words:
            if code in fault.codes:
                return fault, None
            continue
        match = re.search(fault.words, message, re.IGNORECASE | re.DOTALL)
        if match is not None:
            return fault, match
    return None
