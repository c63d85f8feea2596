"""The run queue, looked at twice a second: Dagster's own takes whole seconds, and a short run feels them."""

import dagster as dg
from typing_extensions import override

#: What Dagster's daemons wait at least between two rounds.
_SECONDS = 0.5


class PromptRunCoordinator(dg.QueuedRunCoordinator):
    """`QueuedRunCoordinator` that launches what is queued within half a second.

    Takes the same configuration; `dequeue_interval_seconds` has no effect. An empty round is two queries.
    """

    @property
    @override
    def dequeue_interval_seconds(self) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _SECONDS
