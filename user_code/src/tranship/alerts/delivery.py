"""Tells every channel what it is owed, within bounds: a channel that is down loses nothing and delays nobody."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tranship.alerts.channels import (
    Channel,
    ChannelDownError,
    NotDeliveredError,
    RecipientsRefusedError,
)
from tranship.alerts.incidents import IncidentLog
from tranship.alerts.notices import Notice, notices_of
from tranship.errors import ConfigurationError
from tranship.retry import retry_transient

BUDGET_SECONDS = 35.0
"""A sensor's tick is given up after 60 seconds, and what it had told would be told again."""
ATTEMPTS = 3
MAX_REFUSALS = 5
"""After so many a channel is left alone until the next delivery."""


@dataclass(slots=True)
class Delivered:
    """What became of the notices.

    Args:
        sent: How many were taken.
        problems: What kept the others back, by channel; they are sent with the next delivery.
    """

    sent: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        held_back = "".join(f" {name}: {problem}" for name, problem in self.problems.items())
        return f"{self.sent} messages sent.{held_back}"


@dataclass(frozen=True, slots=True)
class _Outcome:
    channel: str
    notice: Notice | None = None
    problem: str = ""


def deliver(
    log: IncidentLog,
    channels: Sequence[Channel],
    *,
    logger: logging.Logger,
    budget_seconds: float = BUDGET_SECONDS,
) -> Delivered:
    """Send each channel what it is owed, all channels at once, and remember in the log what was taken.

    Each message is tried three times with growing pauses where that may help; then its channel is left alone until
    the next delivery, and so is a channel that takes longer than the budget. A message that a channel takes after
    the budget is sent once more.

    Args:
        log: What is owed; changed in place.
        channels: Who is told; their names differ.
        logger: Where failures are told.
        budget_seconds: After this the call returns, whatever happens.

    Returns:
        How many messages went out, and what kept the others back.

    Raises:
        ConfigurationError: Two channels have one name.
    """
    names = [channel.name for channel in channels]
    if len(set(names)) < len(names):
        raise ConfigurationError(
            f"Two channels have one name: {', '.join(names)}.", "Give each a name of its own."
        )
    outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    deadline = time.monotonic() + budget_seconds
    busy = _start_sending(log, channels, deadline, outcomes, logger)
    delivered = Delivered()
    while busy:
        try:
            outcome = outcomes.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            break
        if outcome.notice is not None:
            log.mark_told(outcome.channel, outcome.notice.change, outcome.notice.incidents)
            delivered.sent += 1
            continue
        busy.discard(outcome.channel)
        if outcome.problem:
            delivered.problems[outcome.channel] = outcome.problem
    for name in busy:
        delivered.problems[name] = f"Not done after {budget_seconds:g} s."
    for name, problem in delivered.problems.items():
        logger.warning("Alerts for %s are held back and will be tried again: %s", name, problem)
    log.forget_settled(names)
    return delivered


def _start_sending(
    log: IncidentLog,
    channels: Sequence[Channel],
    deadline: float,
    outcomes: "queue.SimpleQueue[_Outcome]",
    logger: logging.Logger,
) -> set[str]:
    """Send in a thread for each channel that is owed something; gives their names."""
    busy: set[str] = set()
    for channel in channels:
        notices = notices_of(log.owed(channel.name))
        if notices:
            busy.add(channel.name)
            # Not of a pool: the interpreter would wait for a hanging channel when it ends.
            threading.Thread(
                target=_send_all,
                args=(channel, notices, deadline, outcomes, logger),
                name=f"alerts-{channel.name}",
                daemon=True,
            ).start()
    return busy


def _send_all(
    channel: Channel,
    notices: Sequence[Notice],
    deadline: float,
    outcomes: "queue.SimpleQueue[_Outcome]",
    logger: logging.Logger,
) -> None:
    problem, refusals = "", 0
    for notice in notices:
        if time.monotonic() > deadline or refusals == MAX_REFUSALS:
            problem = problem or "The rest follows with the next delivery."
            break
        try:
            _send(channel, notice, logger)
        except ChannelDownError as error:
            problem = str(error)
            break
        except NotDeliveredError as error:
            # It may be this one message that is refused: the next ones shall not wait for it.
            problem, refusals = str(error), refusals + 1
        except Exception as error:
            logger.exception("%s raised what a channel should not.", channel.name)
            problem, refusals = type(error).__name__, refusals + 1
        else:
            outcomes.put(_Outcome(channel.name, notice))
    outcomes.put(_Outcome(channel.name, problem=problem))


def _send(channel: Channel, notice: Notice, logger: logging.Logger) -> None:
    try:
        retry_transient(
            lambda: channel.send(notice),
            what=f"telling {channel.name} of {notice.title!r}",
            attempts=ATTEMPTS,
            first_pause_seconds=0.5,
            longest_pause_seconds=2.0,
            log=logger,
        )
    except RecipientsRefusedError as error:
        logger.warning("%s", error)
