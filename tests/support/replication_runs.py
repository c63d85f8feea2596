"""What tests of replications share: a table of events, and what a run of them says."""

from typing import Any

import dagster as dg

EVENTS = """
    create table {table} (
        Id int not null primary key, Name nvarchar(20) not null, Amount money not null,
        Changed datetime2(3) not null
    )
"""


def event_rows(first: int, last: int, day: int = 1) -> str:
    """An INSERT of rows with these keys, changed on that day of January 2024."""
    values = ", ".join(
        f"({number}, N'name {number}', {number}.25, '2024-01-{day:02d}T10:00:{number % 60:02d}.500')"
        for number in range(first, last + 1)
    )
    return f"insert into {{table}} values {values}"


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Which checks passed, by name."""
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the only materialization of a run says."""
    (event,) = result.get_asset_materialization_events()
    return {
        name: value.value
        for name, value in event.step_materialization_data.materialization.metadata.items()
    }


def said(result: dg.ExecuteInProcessResult) -> str:
    """What the failed steps say to their reader."""
    data = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return " ".join(
        one.user_failure_data.description or ""
        if one.user_failure_data
        else one.error_display_string
        for one in data
    )
