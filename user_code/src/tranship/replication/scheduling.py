"""When tables are loaded: one job and one schedule for all that share a cron expression and partitions."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from tranship.errors import ConfigurationError
from tranship.failures import as_failures
from tranship.replication.assets import ReplicatedTable
from tranship.sqlserver.resource import SqlServerResource

_NAMES = re.compile(r"\W+")


def schedules(
    tables: Sequence[ReplicatedTable], name: str, executor: dg.ExecutorDefinition
) -> list[dg.ScheduleDefinition]:
    """The schedules that the tables' settings ask for; they run as soon as they are loaded.

    Args:
        tables: The tables.
        name: What the jobs and schedules are called after.
        executor: How a job runs its steps.

    Raises:
        ConfigurationError: A cron expression or time zone is none.
    """
    together: defaultdict[tuple[str, str, Any], list[ReplicatedTable]] = defaultdict(list)
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
    return _NAMES.sub("_", "_".join(part for part in parts if part)).lower()


def _schedule(
    name: str,
    cron: str,
    zone: str,
    partitions: dg.PartitionsDefinition[Any] | None,
    tables: Sequence[ReplicatedTable],
    executor: dg.ExecutorDefinition,
) -> dg.ScheduleDefinition:
    listed = ", ".join(str(table.plan.target) for table in tables)
    job = dg.define_asset_job(
        f"{name}_job",
        selection=dg.AssetSelection.assets(*(table.asset_key for table in tables)),
        description=f"Loads {listed}.",
        partitions_def=partitions,
        executor_def=executor,
    )

    def requests(context: dg.ScheduleEvaluationContext) -> Any:
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

    try:
        return dg.ScheduleDefinition(
            name=f"{name}_schedule",
            job=job,
            cron_schedule=cron,
            execution_timezone=zone,
            execution_fn=requests,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Loads {listed}.",
        )
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigurationError(
            f"The schedule {cron!r} in {zone!r}, of {listed}, cannot be used: {str(error).rstrip('.')}.",
            'Write a cron expression such as "0 6 * * *" or @daily, and a zone such as Europe/Berlin.',
        ) from error


def changes_sensor(
    tables: Sequence[ReplicatedTable],
    name: str,
    every_seconds: int,
    executor: dg.ExecutorDefinition,
) -> dg.SensorDefinition:
    """A sensor that launches the tables whose source has changed since it looked last, and no others.

    What is built on a changed table in the same group is refreshed in the same run.

    Args:
        tables: The tables, of one source. Partitioned ones are left to their schedules.
        name: What the sensor and its job are called after.
        every_seconds: How often it looks.
        executor: How the job runs its steps.
    """
    watched = {str(table.plan.source): table for table in tables if table.partitions is None}
    source_key = tables[0].source_key
    groups = sorted({table.settings.group or table.group for table in tables})

    def with_dependents(chosen: Iterable[ReplicatedTable]) -> dg.AssetSelection:
        own = dg.AssetSelection.assets(*(table.asset_key for table in chosen))
        return own | (own.downstream() & dg.AssetSelection.groups(*groups))

    job = dg.define_asset_job(
        f"{name}_changes_job", selection=with_dependents(watched.values()), executor_def=executor
    )

    def evaluate(context: dg.SensorEvaluationContext) -> Any:
        source = getattr(context.resources, source_key)
        if not isinstance(source, SqlServerResource):
            raise dg.Failure(f'The resource "{source_key}" is no SqlServerResource.')
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        with as_failures():
            now = {shown: source.fingerprint(table.plan.source) for shown, table in watched.items()}
        changed = [shown for shown in watched if seen.get(shown) != now[shown]]
        context.update_cursor(json.dumps(now))
        if not changed:
            return dg.SkipReason(f"None of {len(now)} source tables has changed.")
        repository = context.repository_def
        if repository is None:
            raise dg.Failure("The sensor was evaluated outside of a code location.")
        graph = repository.asset_graph
        selected = with_dependents(watched[shown] for shown in changed).resolve(graph)
        return dg.RunRequest(
            run_key=json.dumps({shown: now[shown] for shown in changed}, sort_keys=True),
            asset_selection=sorted(
                key for key in selected if graph.get(key).partitions_def is None
            ),
            tags={
                "tranship/changed": ", ".join(watched[shown].plan.source.name for shown in changed)
            },
        )

    return dg.SensorDefinition(
        name=f"{name}_changes_sensor",
        evaluation_fn=evaluate,
        job=job,
        minimum_interval_seconds=every_seconds,
        required_resource_keys={source_key},
        description="Loads the tables whose source has changed. Off until it is switched on: it reads each "
        "table without a rowversion in the source to fingerprint it.",
    )
