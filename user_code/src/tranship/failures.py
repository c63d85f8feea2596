"""Turns this library's errors into `dagster.Failure`, at the edge where Dagster calls it."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from tranship.budget import current_budget
from tranship.errors import TranshipError

LEFT_OUT_METADATA = "tranship/left_out"
"""Metadata of an asset that stands for a table which cannot be loaded as things are: why. Alerts tell of it."""


@contextmanager
def as_failures() -> Generator[None]:
    """Let errors leave a block as `dagster.Failure`.

    The failure's description is what happened and what to do; its metadata holds the facts. A retry
    policy on the step is honoured for faults that pass and left alone for all others, because a
    wrong password does not become right by trying again; and only while the load's `RetryBudget`,
    where there is one, has time left.

    Raises:
        dagster.Failure: For every `TranshipError` raised inside.

    Example:
        >>> with as_failures():
        ...     raise TranshipError("No such table: dbo.A.", "Check the spelling.")
        Traceback (most recent call last):
        dagster...Failure: No such table: dbo.A. Check the spelling.
    """
    try:
        yield
    except TranshipError as error:
        raise as_failure(error) from error


def as_failure(error: TranshipError) -> dg.Failure:
    """The failure that tells Dagster, and so the user, what an error says."""
    budget = current_budget()
    if error.transient and budget is not None:
        budget.note_fault()
    return dg.Failure(
        description=str(error),
        metadata={
            "error": dg.MetadataValue.text(type(error).__name__),
            **{name: dg.MetadataValue.text(str(value)) for name, value in error.details.items()},
        },
        allow_retries=error.transient and (budget is None or not budget.is_over),
    )
