"""One asset per table: its load, its checks, and what the UI shows of both.

What loads and checks is imported by the step that does it: every run makes all assets before its first step.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from tranship.budget import retry_budget
from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.failures import as_failures
from tranship.io_manager import TARGET_METADATA, column_schema, write_metadata
from tranship.names import identifier, key_part
from tranship.replication.columns import column_changes
from tranship.replication.config import CheckSettings, TableSettings
from tranship.replication.durations import parse_duration
from tranship.replication.masking import KEY_VARIABLE
from tranship.replication.partitioning import partitions_definition, slices_of
from tranship.replication.plan import TablePlan
from tranship.replication.retrying import budget_of_step, retry_policy
from tranship.slices import Slice
from tranship.systems import (
    SourceSystem,
    TargetSystem,
    is_known,
    system,
    system_of_resource,
)
from tranship.tables import TableName
from tranship.writes import WriteResult

if TYPE_CHECKING:
    from tranship.replication.findings import Finding
    from tranship.replication.load import LoadReport
    from tranship.source import Source
    from tranship.target import Target

ROW_COUNT = "as_many_rows_as_the_source"
COLUMNS = "columns_agree_with_the_source"
RECENT_ROWS = "recent_rows_as_in_the_source"
UNIQUE_KEY = "no_key_twice"
SCHEMA_DRIFT = "columns_as_in_the_source"


class LoadConfig(dg.Config):
    """What a run may ask of a table's load; the launchpad shows it."""

    full_reload: bool = Field(
        default=False, description="Forget the bookmark and load the whole table again."
    )
    start_from: str | None = Field(
        default=None,
        description="Load from this cursor value on, instead of from the bookmark: 2024-01-31.",
    )
    allow_deletes: bool = Field(
        default=False,
        description="Let rows go that are gone from the source, however many they are: beyond delete_guard.",
    )


@dataclass(frozen=True, slots=True)
class ReplicatedTable:
    """A table of a replication, with what Dagster needs to know of it.

    Args:
        plan: How it is moved.
        settings: Its settings, defaults included.
        source_key: The resource that is the source.
        target_key: The resource that is the target.
        group: Group in the UI.
        source_kind: What kind of system the source is.
        io_manager_key: What loads the table where another asset takes it as an input.
        key_name: The last part of its asset key; by default made of the target's name.
        like_named: Other targets, whose names differ from its own by case alone.
    """

    plan: TablePlan
    settings: TableSettings
    source_key: str
    target_key: str
    group: str
    source_kind: str = "sqlserver"
    io_manager_key: str | None = None
    key_name: str | None = None
    like_named: frozenset[TableName] = frozenset()

    @property
    def asset_key(self) -> dg.AssetKey:
        """The target's schema and table, in the signs that Dagster takes."""
        target = self.plan.target
        return dg.AssetKey([key_part(target.schema), self.key_name or key_part(target.name)])

    @property
    def op_name(self) -> str:
        """What its step is called."""
        target = self.plan.target
        # Where its key needs a digest to be its own, so does its step.
        own = (self.key_name or "").removeprefix(key_part(target.name))
        return _step_name(target) + own

    @property
    def checks(self) -> CheckSettings:
        """What is checked."""
        return self.settings.checks or CheckSettings()

    @property
    def partitions(self) -> dg.PartitionsDefinition[Any] | None:
        """Its partitions, for mode `partition`."""
        return (
            None
            if self.plan.partitions is None
            else partitions_definition(self.plan.partitions, self.plan.source)
        )

    @property
    def measured(self) -> bool | tuple[str, ...]:
        """The columns whose sums and extremes are compared."""
        asked = self.checks.columns
        return asked if isinstance(asked, bool) else tuple(asked)

    def check_specs(self) -> list[dg.AssetCheckSpec]:
        """The checks, as Dagster knows them."""
        checks = self.checks
        wanted = {
            ROW_COUNT: (checks.row_count, "The copy has as many rows as the source had."),
            COLUMNS: (
                bool(checks.columns),
                "Non-null counts, sums, least and greatest values are the source's.",
            ),
            RECENT_ROWS: (
                checks.recent_rows and bool(self.plan.cursor) and self.plan.is_incremental,
                "The keys and cursor values of the rows right behind the bookmark add up to the source's.",
            ),
            UNIQUE_KEY: (
                checks.unique_key and bool(self.plan.key or self.plan.is_incremental),
                "No key comes twice in the copy.",
            ),
            SCHEMA_DRIFT: (checks.schema_drift, "The copy's columns are those the source has now."),
        }
        return [
            dg.AssetCheckSpec(
                name,
                asset=self.asset_key,
                description=description,
                blocking=checks.blocking and name != SCHEMA_DRIFT,
            )
            for name, (is_wanted, description) in wanted.items()
            if is_wanted
        ]


def _step_name(target: TableName) -> str:
    """A name that no other table's step has in a code location: `a_b` and `c` are not `a` and `b_c`.

    Example:
        >>> _step_name(TableName("staging", "DimDate")), _step_name(TableName("sales_copy", "Orders"))
        ('replicate_staging_DimDate', 'replicate_sales_copy__Orders')
    """
    schema, name = target.schema, target.name
    joined = (schema + "_", name) if "_" in schema else (schema, name)
    is_clear = "__" not in schema + "." + name and not schema.endswith("_")
    if is_clear and not ("_" in schema and name.startswith("_")):
        return identifier("replicate", *joined)
    digest = hashlib.sha256(f"{schema}\0{name}".encode()).hexdigest()[:8]
    return f"{identifier('replicate', *joined)}_{digest}"


def replicated_asset(table: ReplicatedTable) -> dg.AssetsDefinition:
    """The asset of one table, with its checks; either can be launched without the other.

    Raises:
        ConfigurationError: Its settings are not what Dagster takes.
    """
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
    if table.io_manager_key:
        spec = spec.with_io_manager_key(table.io_manager_key)

    @dg.multi_asset(
        name=table.op_name,
        specs=[spec],
        check_specs=table.check_specs(),
        can_subset=True,
        required_resource_keys={table.source_key, table.target_key},
        pool=settings.pool or table.source_key,
        backfill_policy=None if table.partitions is None else dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy(settings, plan.source),
    )
    def replicate(context: dg.AssetExecutionContext, config: LoadConfig):
        with retry_budget(budget_of_step(context, settings, plan.source)), as_failures():
            yield from _Step.of(table, context).results(config)

    return replicate


def _definition_metadata(table: ReplicatedTable) -> dict[str, Any]:
    plan = table.plan
    told: dict[str, Any] = {
        "source_table": str(plan.source),
        "mode": str(plan.mode),
        "dagster/table_name": str(plan.target),
        # For IO managers: its key may spell the name otherwise.
        TARGET_METADATA: [plan.target.schema, plan.target.name],
    }
    if plan.cursor:
        told["cursor"] = plan.cursor
    if plan.partitions is not None:
        told["partition_expr"] = plan.partitions.column
    return told


@dataclass(frozen=True, slots=True)
class _Step:
    """One execution: a load, its checks, or both."""

    table: ReplicatedTable
    plan: TablePlan
    context: dg.AssetExecutionContext
    source: "Source"
    target: "Target"

    @classmethod
    def of(cls, table: ReplicatedTable, context: dg.AssetExecutionContext) -> "_Step":
        origin = getattr(context.resources, table.source_key)
        source = system_of_resource(table.source_key, origin, SourceSystem)
        destination = getattr(context.resources, table.target_key)
        target = system_of_resource(table.target_key, destination, TargetSystem).target_of(
            destination
        )
        _refuse_folded(table, target)
        # Here it is known how long a name may be: 63 bytes in Postgres, 127 in Redshift.
        plan = replace(table.plan, target=target.fitting(table.plan.target))
        opened = source.open_source(origin.settings(), plan.source_request)
        return cls(table, plan, context, opened, target)

    def results(self, config: LoadConfig) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Load what was selected, then check what was selected."""
        from tranship.replication.load import LoadRequest, load

        if self.table.asset_key not in self.context.selected_asset_keys:
            yield from self._checked(None)
            return
        report = load(
            self.plan,
            self.source,
            self.target,
            LoadRequest(
                run_id=self.context.run.run_id,
                partitions=self._partitions_of_run(),
                full_reload=config.full_reload,
                start_from=config.start_from,
                allow_deletes=config.allow_deletes,
                measured=self.table.measured,
                mask_key=os.environ.get(KEY_VARIABLE),
            ),
            self.context.log,
        )
        findings = list(self._checked(report))
        counted = next(
            (one.metadata.get("rows_in_copy") for one in findings if one.check_name == ROW_COUNT),
            None,
        )
        self.context.log.info(
            f"{self.plan.source} -> {self.plan.target}: {report.rows:,} rows; {report.what}."
        )
        yield dg.MaterializeResult(
            asset_key=self.table.asset_key, metadata=load_metadata(report, counted)
        )
        yield from findings

    def _partitions_of_run(self) -> Callable[[str], Slice] | None:
        return self._slices(self.context.partition_keys) if self.table.partitions else None

    def _slices(self, keys: Any) -> Callable[[str], Slice] | None:
        plan, definition = self.plan, self.table.partitions
        if plan.partitions is None or definition is None:
            return None
        column = self.source.schema.column(plan.partitions.column)
        return slices_of(plan.partitions, definition, list(keys), plan.source, column)

    def _checked(self, report: "LoadReport | None") -> Iterator[dg.AssetCheckResult]:
        from tranship.replication.findings import not_of_this_source
        from tranship.replication.guard import another_source
        from tranship.replication.verification import Verification

        selected = {key.name for key in self.context.selected_asset_check_keys}
        if not selected:
            return
        plan = self.plan
        bookmark = report.bookmark if report else None
        if bookmark is None:
            self.target.prepare(plan.target)
            bookmark = self.target.bookmark(plan.target)
        if bookmark is None:
            raise TableNotFoundError(
                f"{plan.target} was never loaded, so there is nothing to check.",
                "Materialize it first.",
            )
        verification = Verification(
            plan=plan,
            source=self.source,
            target=self.target,
            changes=column_changes(plan, self.source.schema, os.environ.get(KEY_VARIABLE)),
            bookmark=bookmark,
            loaded=self._partitions_of_run() if report else None,
            materialized=self._slices_loaded() if report is None else None,
        )
        key = (
            verification.changes.target_names(self.source.key, "part of the key")
            if UNIQUE_KEY in selected
            else ()
        )
        # A load has just seen to it; checks that run by themselves must.
        another = None if report else another_source(self.source, bookmark)
        checks: Mapping[str, Callable[[], Finding]] = {
            ROW_COUNT: verification.row_count,
            COLUMNS: lambda: verification.columns(self.table.measured),
            RECENT_ROWS: verification.recent_rows,
            UNIQUE_KEY: lambda: verification.unique_key(key),
            SCHEMA_DRIFT: verification.schema_drift,
        }
        for name, check in checks.items():
            if name not in selected:
                continue
            elsewhere = another is not None and name != UNIQUE_KEY
            yield self._result(name, not_of_this_source(another) if elsewhere else check())

    def _slices_loaded(self) -> Callable[[str], Slice] | None:
        """The partitions that were ever loaded; `None` where none was, or there are none."""
        if self.table.partitions is None:
            return None
        keys = self.context.instance.get_materialized_partitions(self.table.asset_key)
        return self._slices(keys) if keys else None

    def _result(self, name: str, finding: "Finding") -> dg.AssetCheckResult:
        if not finding.passed:
            self.context.log.warning(f"{self.plan.target}, {name}: {finding.description}")
        return dg.AssetCheckResult(
            asset_key=self.table.asset_key,
            check_name=name,
            passed=finding.passed,
            severity=dg.AssetCheckSeverity.WARN
            if finding.is_warning
            else dg.AssetCheckSeverity.ERROR,
            description=finding.description,
            metadata=dict(finding.facts),
        )


def _refuse_folded(table: ReplicatedTable, target: "Target") -> None:
    """Refuse a table whose name is another one's in this target.

    Raises:
        ConfigurationError: The message names both.
    """
    own = table.plan.target
    for other in sorted(table.like_named):
        if target.table_name(target.fitting(other)) == target.table_name(target.fitting(own)):
            raise ConfigurationError(
                f"{other} and {own} are one table in {system(target.kind).title}, which writes names in lower case; neither "
                "is loaded.",
                f"Give {table.plan.source} another name with target.",
            )


def load_metadata(report: "LoadReport", rows_in_copy: Any = None) -> dict[str, Any]:
    """What a load did, as Dagster metadata: numbers that are plotted over time, and what they are about."""
    told = {
        **write_metadata(_in_all(report.writes)),
        "dagster/column_schema": column_schema(report.schema),
        "loaded": report.what,
        "source_table": str(report.plan.source),
    }
    # The write knows its slice; which of Dagster's partitions that is, it does not.
    told.pop("dagster/partition_row_count", None)
    if len(report.writes) > 1:
        told["chunks"] = len(report.writes)
    if report.bookmark.cursor_value is not None:
        told["bookmark"] = report.bookmark.cursor_value
    if report.gone is not None:
        gone = report.gone
        told |= {"rows_gone": gone.rows, "rows_returned": gone.returned}
        told |= {"rows_seen_at_the_second_look": gone.missed} if gone.missed else {}
        told |= {"rows_brought_back": gone.brought_back} if gone.brought_back else {}
    if rows_in_copy is not None and report.plan.partitions is None:
        told["dagster/row_count"] = rows_in_copy
    return told


def _in_all(writes: tuple[WriteResult, ...]) -> WriteResult:
    """Several chunks as one write."""
    return replace(
        writes[-1],
        rows=sum(write.rows for write in writes),
        bytes=sum(write.bytes for write in writes),
        seconds=sum(write.seconds for write in writes),
    )
