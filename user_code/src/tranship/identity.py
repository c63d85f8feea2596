"""Where a table's rows come from, as one value: what a source tells of its server, its database and the table.

A bookmark keeps it, so that a load knows whether the source is still the one that the bookmark was made of. What the
parts mean, and which of them make another source, is known to the system that names them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """The known parts of a source's identity, in the order in which they are shown.

    Args:
        parts: Name and value of each part that the source told; what it did not tell is not among them.

    Example:
        >>> identity = SourceIdentity.of({"server": "SQL1", "database": "Sales", "fork": None})
        >>> str(identity)
        'server SQL1, database Sales'
        >>> identity.part("fork") is None
        True
    """

    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, parts: Mapping[str, object]) -> Self:
        """The identity of parts by name, without those that are `None`."""
        return cls(tuple((name, str(value)) for name, value in parts.items() if value is not None))

    def part(self, name: str) -> str | None:
        """One part; `None` where it is not known."""
        return dict(self.parts).get(name)

    def differs(self, other: "SourceIdentity", name: str) -> bool:
        """Whether both tell a part, and tell another value of it."""
        mine, theirs = self.part(name), other.part(name)
        return mine is not None and theirs is not None and mine != theirs

    def agrees(self, other: "SourceIdentity", name: str) -> bool:
        """Whether both tell a part, and tell the same of it."""
        mine = self.part(name)
        return mine is not None and mine == other.part(name)

    @property
    def token(self) -> str:
        """A short text that differs where a part does."""
        text = json.dumps(self.parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, str]:
        """The parts, to be kept as JSON."""
        return dict(self.parts)

    def __str__(self) -> str:
        """The parts in words."""
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.parts)
