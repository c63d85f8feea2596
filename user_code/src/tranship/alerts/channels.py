"""What a channel is: somebody to tell. It takes a notice or says why not, and never tells its secrets."""

from collections.abc import Iterable
from typing import Protocol

from tranship.alerts.notices import Notice
from tranship.errors import TranshipError, TransientError

TIMEOUT_SECONDS = 8.0
"""For every wait on the other side: to connect, and for each answer."""
MAX_ANSWER_LENGTH = 300
"""How much of what the other side says is repeated in a message."""


class NotDeliveredError(TranshipError):
    """A channel refuses notices: its address, its login or what it is sent is wrong.

    What to do: Correct the channel's settings; the notice stays in the list until then.
    """


class ChannelDownError(NotDeliveredError, TransientError):
    """A channel does not answer, or not now.

    What to do: Nothing: the next look sends the notice again. If it stays, check the channel's address.
    """

    transient = True


class RecipientsRefusedError(NotDeliveredError):
    """A mail went out, but not to everybody; it counts as sent.

    What to do: Check the addresses that the text lists.
    """

    def __init__(self, host: str, refused: Iterable[str]):
        super().__init__(
            f"The mail server {host} took the mail, but not for {', '.join(sorted(refused))}.",
            "Check these addresses.",
        )


class Channel(Protocol):
    """Somebody to tell. Write your own: a name that no other channel has, and `send`."""

    @property
    def name(self) -> str:
        """What the log and the memory of what was told call it."""
        ...

    def send(self, notice: Notice) -> None:
        """Send a notice; return only when the other side took it.

        Raises:
            ChannelDownError: It may be sent again now.
            NotDeliveredError: It will not be taken until somebody changes something.
        """
        ...


def name_of(error: object) -> str:
    """Say in a few words what kept a connection from being made."""
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
