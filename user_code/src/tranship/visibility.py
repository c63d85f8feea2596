"""What a login may not see of a table, so that nothing is taken for the truth that is not."""

from dataclasses import dataclass
from enum import StrEnum


class OnMasked(StrEnum):
    """What happens to columns whose values the source masks for this login."""

    REFUSE = "refuse"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a source shows of one table to who is logged in.

    Args:
        masked: Columns whose values are replaced by a mask for this login.
        encrypted: Columns of which only ciphertext is shown.
        filtered_by: Policies that leave rows out for this login.
        sees_keys: Whether the table's keys would be seen, if it has any.
        sees_filters: Whether policies would be seen, if there are any; `None` where the source has none.

    Example:
        >>> Visibility().sees_keys, Visibility().masked
        (True, ())
    """

    masked: tuple[str, ...] = ()
    encrypted: tuple[str, ...] = ()
    filtered_by: tuple[str, ...] = ()
    sees_keys: bool = True
    sees_filters: bool | None = None
