"""One asset per table: its load with its checks, tried again for a while; or, where it cannot be moved, the reason.

What loads and checks is imported by the step that does it: every run makes all assets before its first step.
A table that cannot be moved has an asset in its place which fails with the reason: under the table's key, so that its history is not
lost, and on its schedule, so that no run that leaves it out ends well; the alert sensors tell of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from tranship.budget import RetryBudget, retry_budget
from tranship.errors import ConfigurationError
from tranship.failures import LEFT_OUT_METADATA, as_failures
from tranship.io_manager import TARGET_METADATA
from tranship.names import identifier
from tranship.replication.config import TableSettings, parse_duration
from tranship.replication.replicated_tables import LoadConfig, ReplicatedTable
from tranship.systems import (
    is_known,
)
from tranship.tables import TableName

DEFAULT_RETRIES = 5
FIRST_RETRY_SECONDS = 30
DEFAULT_RETRY_FOR = "30 minutes"


def retry_policy(settings: TableSettings, source: TableName) -> dg.RetryPolicy | None:
    """Dagster's part: the step is tried again, with pauses in which others may use the source.

    Raises:
        ConfigurationError: The settings are no number or no time.
    """
    retries = DEFAULT_RETRIES if settings.retries is None else settings.retries
    if retries < 0:
        raise ConfigurationError(f"retries of {source} is {retries}.", "Give 0 or more.")
    retry_seconds(settings, source)
    if not retries:
        return None
    return dg.RetryPolicy(
        max_retries=retries,
        delay=FIRST_RETRY_SECONDS,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )


def retry_seconds(settings: TableSettings, source: TableName) -> float:
    """How long after its first fault a load may be tried again.

    Raises:
        ConfigurationError: It is no span of time.
    """
    text = settings.retry_for or DEFAULT_RETRY_FOR
    return parse_duration(text, f"retry_for of {source}").total_seconds()


def budget_of_step(
    context: dg.AssetExecutionContext, settings: TableSettings, source: TableName
) -> RetryBudget:
    """What is left for this try of the step, by what the run's events say of the tries before."""
    seconds = retry_seconds(settings, source)
    if not context.retry_number:
        return RetryBudget(seconds)
    step = context.get_step_execution_context().step.key
    faults = [
        record.event_log_entry.timestamp
        for record in context.instance.get_records_for_run(
            context.run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY
        ).records
        if record.event_log_entry.step_key == step
    ]
    budget = RetryBudget(
        seconds,
        first_fault=min(faults, default=None),
        earlier_tries=context.retry_number,
    )
    context.log.info(
        f"Try {context.retry_number + 1} of the load of {source}; {budget} for trying again."
    )
    return budget


def replicated_asset(table: ReplicatedTable) -> dg.AssetsDefinition:
    """The asset of one table, with its checks; either can be launched without the other.

    Raises:
        ConfigurationError: Its settings are not what Dagster takes.
    """
    settings, plan = table.settings, table.plan

    @dg.multi_asset(
        name=table.op_name,
        specs=[_spec(table)],
        check_specs=table.check_specs(),
        can_subset=True,
        required_resource_keys={table.source_key, table.target_key},
        pool=settings.pool or table.source_key,
        backfill_policy=None if table.partitions is None else dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy(settings, plan.source),
    )
    def replicate(context: dg.AssetExecutionContext, config: LoadConfig) -> Iterator[Any]:
        # Imported here: every run makes all assets, and few of them load or check.
        from tranship.replication.step import Step

        with retry_budget(budget_of_step(context, settings, plan.source)), as_failures():
            yield from Step.of(table, context).results(config)

    return replicate


def _spec(table: ReplicatedTable) -> dg.AssetSpec:
    """The asset as the UI shows it."""
    settings, plan = table.settings, table.plan
    freshness = (
        dg.FreshnessPolicy.time_window(
            fail_window=parse_duration(settings.freshness, f"The freshness of {plan.source}")
        )
        if settings.freshness
        else None
    )
    spec = dg.AssetSpec(
        table.asset_key,
        deps=[dg.AssetKey.from_user_string(key) for key in settings.deps],
        description=settings.description
        or f"{plan.source} of the source, kept up to date by {plan.mode}.",
        group_name=settings.group or table.group,
        owners=settings.owners,
        tags=settings.tags,
        kinds={table.source_kind, *([table.target_key] if is_known(table.target_key) else ())},
        freshness_policy=freshness,
        partitions_def=table.partitions,
        metadata=_definition_metadata(table),
        skippable=True,
    )
    return spec.with_io_manager_key(table.io_manager_key) if table.io_manager_key else spec


def _definition_metadata(table: ReplicatedTable) -> dict[str, Any]:
    plan = table.plan
    metadata: dict[str, Any] = {
        "source_table": str(plan.source),
        "mode": str(plan.mode),
        "dagster/table_name": str(plan.target),
        # For IO managers: its key may spell the name otherwise.
        TARGET_METADATA: [plan.target.schema, plan.target.name],
    }
    if plan.cursor:
        metadata["cursor"] = plan.cursor
    if plan.partitions is not None:
        metadata["partition_expr"] = plan.partitions.column
    return metadata


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A table that is wanted and cannot be moved.

    Args:
        source: The table or tables, as the source calls them.
        asset_key: What stands in its place.
        group: Group in the UI.
        reason: Why, and what to do.
        settings: Its settings; without a schedule where that is what is wrong.
        io_manager_key: As the table would have had it.
    """

    source: str
    asset_key: dg.AssetKey
    group: str
    reason: str
    settings: TableSettings
    io_manager_key: str | None = None

    @property
    def partitions(self) -> dg.PartitionsDefinition[Any] | None:
        """None: whatever is asked for fails."""
        return None


def left_out_asset(table: LeftOut) -> dg.AssetsDefinition:
    """The asset that fails with the reason for which a table is left out."""
    spec = dg.AssetSpec(
        table.asset_key,
        description=f"{table.source} is left out of the replication: {table.reason}",
        group_name=table.group,
        metadata={"source_table": table.source, LEFT_OUT_METADATA: table.reason},
        skippable=True,
    )
    if table.io_manager_key:
        spec = spec.with_io_manager_key(table.io_manager_key)

    @dg.multi_asset(name=identifier("left_out", *table.asset_key.path), specs=[spec])
    def left_out():
        raise dg.Failure(
            f"{table.source} is left out of the replication: {table.reason}", allow_retries=False
        )

    return left_out


def complaint_asset(key: dg.AssetKey, group: str, complaint: str) -> dg.AssetSpec:
    """What stands for a source whose tables are not all known: an asset that nothing makes, for the alert to tell of.

    It is there as long as there is something to tell, and gone with the next load of the code location.

    Args:
        key: Its key.
        group: Group in the UI.
        complaint: What is amiss.
    """
    text = f"{complaint} Reload the code location when that is put right."
    return dg.AssetSpec(key, description=text, group_name=group, metadata={LEFT_OUT_METADATA: text})
