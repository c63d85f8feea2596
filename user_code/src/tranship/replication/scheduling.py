"""When tables are loaded: one job and one schedule for all that share a cron expression and partitions."""

# Dagster's own signatures leave type arguments out.
# pyright: reportUnknownMemberType=false

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dagster as dg

from tranship.dagster_private.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from tranship.errors import ConfigurationError
from tranship.names import identifier
from tranship.replication.config import TableSettings

_NAMES = re.compile(r"\W+")


class Scheduled(Protocol):
    """What a schedule needs to know of a table."""

    @property
    def asset_key(self) -> dg.AssetKey:
        """What is materialized."""
        ...

    @property
    def settings(self) -> TableSettings:
        """When."""
        ...

    @property
    def partitions(self) -> dg.PartitionsDefinition[Any] | None:
        """Its partitions."""
        ...


def schedules(
    tables: Sequence[Scheduled], name: str, executor: dg.ExecutorDefinition
) -> list[dg.ScheduleDefinition]:
    """The schedules that the tables' settings ask for; they run as soon as they are loaded.

    Args:
        tables: The tables.
        name: What the jobs and schedules are called after.
        executor: How a job runs its steps.

    Raises:
        ConfigurationError: A cron expression or time zone is none.
    """
    together: defaultdict[tuple[str, str, Any], list[Scheduled]] = defaultdict(list)
    for table in tables:
        if cron := table.settings.schedule:
            key = (cron, table.settings.timezone or "UTC", table.partitions)
            together[key].append(table)
    return [
        _schedule(
            f"{name}_{_slug(cron, zone, partitions, number)}",
            cron,
            zone,
            partitions,
            members,
            executor,
        )
        for number, ((cron, zone, partitions), members) in enumerate(together.items(), start=1)
    ]


def _slug(cron: str, zone: str, partitions: Any, number: int) -> str:
    """A name that says when: `daily`, or the number of the schedule for a cron expression."""
    when = cron.removeprefix("@") if cron.startswith("@") else f"schedule_{number}"
    parts = [
        when,
        "" if zone == "UTC" else zone,
        "" if partitions is None else f"partitions_{number}",
    ]
    return identifier(_NAMES.sub("_", "_".join(part for part in parts if part)).lower())


def _schedule(
    name: str,
    cron: str,
    zone: str,
    partitions: dg.PartitionsDefinition[Any] | None,
    tables: Sequence[Scheduled],
    executor: dg.ExecutorDefinition,
) -> dg.ScheduleDefinition:
    listed = ", ".join(".".join(table.asset_key.path) for table in tables)
    job = dg.define_asset_job(
        f"{name}_job",
        selection=dg.AssetSelection.assets(*(table.asset_key for table in tables)),
        description=f"Loads {listed}.",
        partitions_def=partitions,
        executor_def=executor,
    )

    try:
        return dg.ScheduleDefinition(
            name=f"{name}_schedule",
            job=job,
            cron_schedule=cron,
            execution_timezone=zone,
            execution_fn=_requests(partitions),
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Loads {listed}.",
        )
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigurationError(
            f"The schedule {cron!r} in {zone!r}, of {listed}, cannot be used: {str(error).rstrip('.')}.",
            'Write a cron expression such as "0 6 * * *" or @daily, and a zone such as Europe/Berlin.',
        ) from error


def _requests(
    partitions: dg.PartitionsDefinition[Any] | None,
) -> Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]:
    """What a schedule asks for at its time: the last partition that has ended, or all where they are not of time."""

    def requests(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if partitions is None:
            return dg.RunRequest()
        if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
            with dg.partition_loading_context(effective_dt=context.scheduled_execution_time):
                last = partitions.get_last_partition_key()
            if last is None:
                return dg.SkipReason("The first partition has not ended yet.")
            return dg.RunRequest(partition_key=last)
        keys = partitions.get_partition_keys()
        # One run for all of them, as a single-run backfill makes it.
        return dg.RunRequest(
            tags={ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}
        )

    return requests
