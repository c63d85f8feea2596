"""One execution of a table's step: loads what was selected, checks what was selected, and says what the UI shows of both."""

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.io_manager import column_schema, write_metadata
from tranship.replication.choice import as_loaded
from tranship.replication.columns import KEY_VARIABLE, column_changes
from tranship.replication.guard import another_source
from tranship.replication.history import FollowedHistory
from tranship.replication.keys import rules_of
from tranship.replication.load import LoadReport, LoadRequest, load
from tranship.replication.plan import FollowedChanges, TablePlan
from tranship.replication.replicated_tables import (
    COLUMNS,
    HEADROOM,
    HISTORY,
    NO_GAP,
    RECENT_ROWS,
    ROW_COUNT,
    SCHEMA_DRIFT,
    UNIQUE_KEY,
    LoadConfig,
    ReplicatedTable,
    slices_of,
)
from tranship.replication.verification import Finding, Verification, not_of_this_source
from tranship.slices import Slice
from tranship.source import Source
from tranship.systems import SourceSystem, TargetSystem, system, system_of_resource
from tranship.target import Target
from tranship.writes import WriteResult


@dataclass(frozen=True, slots=True)
class Step:
    """One execution: a load, its checks, or both.

    Args:
        table: The table.
        plan: How it is moved, with a name for the copy that the target can take.
        context: What Dagster says of the execution.
        source: Where the table's rows come from.
        target: Where they go.
    """

    table: ReplicatedTable
    plan: TablePlan
    context: dg.AssetExecutionContext
    source: Source
    target: Target

    @classmethod
    def of(cls, table: ReplicatedTable, context: dg.AssetExecutionContext) -> "Step":
        """The step of a table, with its source and its target opened.

        Raises:
            ConfigurationError: The target takes the table's name for another one's.
            TranshipError: The source cannot be opened.
        """
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

    def results(
        self, config: LoadConfig
    ) -> Generator["dg.MaterializeResult[Any] | dg.AssetCheckResult"]:
        """Load what was selected, then check what was selected.

        Args:
            config: What the run asks of the load.
        """
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
        results = list(self._checked(report))
        counted = next(
            (one.metadata.get("rows_in_copy") for one in results if one.check_name == ROW_COUNT),
            None,
        )
        self.context.log.info(
            f"{self.plan.source} -> {self.plan.target}: {report.rows:,} rows; {report.what}."
        )
        yield dg.MaterializeResult(
            asset_key=self.table.asset_key, metadata=load_metadata(report, counted)
        )
        yield from results

    def _partitions_of_run(self) -> Callable[[str], Slice] | None:
        return self._slices(self.context.partition_keys) if self.table.partitions else None

    def _slices(self, keys: Iterable[str]) -> Callable[[str], Slice] | None:
        plan, definition = self.plan, self.table.partitions
        if plan.partitions is None or definition is None:
            return None
        column = self.source.schema.column(plan.partitions.column)
        return slices_of(plan.partitions, definition, list(keys), plan.source, column)

    def _checked(self, report: LoadReport | None) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in self.context.selected_asset_check_keys}
        if not selected:
            return
        verification = self._verification(report)
        key = (
            verification.changes.target_names(self.source.key, "part of the key")
            if UNIQUE_KEY in selected
            else ()
        )
        # A load has just seen to it; checks that run by themselves must.
        another = None if report else another_source(self.source, verification.bookmark)
        checks: Mapping[str, Callable[[], Finding]] = {
            ROW_COUNT: verification.row_count,
            COLUMNS: lambda: verification.columns(self.table.measured),
            RECENT_ROWS: verification.recent_rows,
            UNIQUE_KEY: lambda: verification.unique_key(key),
            HISTORY: lambda: verification.history(self._history(verification)),
            SCHEMA_DRIFT: lambda: verification.schema_drift(self._history(verification)),
            NO_GAP: verification.changes_without_a_gap,
            HEADROOM: verification.retention_headroom,
        }
        for name, check in checks.items():
            if name not in selected:
                continue
            elsewhere = another is not None and name not in {UNIQUE_KEY, HISTORY}
            yield self._result(name, not_of_this_source(another) if elsewhere else check())

    def _verification(self, report: LoadReport | None) -> Verification:
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
        return Verification(
            # Held against what the load followed, which the next one may not.
            plan=report.plan if report else as_loaded(plan, bookmark),
            source=self.source,
            target=self.target,
            changes=column_changes(plan, self.source.schema, os.environ.get(KEY_VARIABLE)),
            bookmark=bookmark,
            loaded=self._partitions_of_run() if report else None,
            materialized=self._slices_loaded() if report is None else None,
        )

    def _history(self, verification: Verification) -> FollowedHistory | None:
        plan, source = self.plan, self.source
        rules = rules_of(plan, source, source.key)
        log = logging.getLogger(__name__)
        return FollowedHistory.of(plan, source, self.target, verification.changes, rules, log)

    def _slices_loaded(self) -> Callable[[str], Slice] | None:
        """The partitions that were ever loaded; `None` where none was, or there are none."""
        if self.table.partitions is None:
            return None
        keys = self.context.instance.get_materialized_partitions(self.table.asset_key)
        return self._slices(keys) if keys else None

    def _result(self, name: str, finding: Finding) -> dg.AssetCheckResult:
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


def _refuse_folded(table: ReplicatedTable, target: Target) -> None:
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


def load_metadata(report: LoadReport, rows_in_copy: Any = None) -> dict[str, Any]:
    """What a load did, as Dagster metadata: numbers that are plotted over time, and what they are about."""
    metadata = {
        **write_metadata(_in_all(report.writes)),
        "dagster/column_schema": column_schema(report.schema),
        "loaded": report.what,
        "source_table": str(report.plan.source),
    }
    # The write knows its slice; which of Dagster's partitions that is, it does not.
    metadata.pop("dagster/partition_row_count", None)
    if len(report.writes) > 1:
        metadata["chunks"] = len(report.writes)
    metadata |= report.figures
    if report.chosen_because is not None:
        metadata |= {"follows": _followed(report.plan), "follows_because": report.chosen_because}
    if report.bookmark.cursor_value is not None:
        metadata["bookmark"] = report.bookmark.cursor_value
    if report.deletes is not None:
        deletes = report.deletes
        metadata |= {"rows_gone": deletes.rows, "rows_returned": deletes.returned}
        metadata |= {"rows_seen_at_the_second_look": deletes.missed} if deletes.missed else {}
        metadata |= {"rows_brought_back": deletes.brought_back} if deletes.brought_back else {}
    if report.versions is not None and report.plan.history is not None:
        metadata |= {
            "history_table": str(report.plan.history.table),
            "versions_opened": report.versions.opened,
            "versions_closed": report.versions.closed,
        }
    if rows_in_copy is not None and report.plan.partitions is None:
        metadata["dagster/row_count"] = rows_in_copy
    return metadata


def _followed(plan: TablePlan) -> str:
    return plan.cursor or (
        "all rows" if plan.changes is FollowedChanges.CURSOR else str(plan.changes)
    )


def _in_all(writes: tuple[WriteResult, ...]) -> WriteResult:
    """Several chunks as one write."""
    return replace(
        writes[-1],
        rows=sum(write.rows for write in writes),
        bytes=sum(write.bytes for write in writes),
        seconds=sum(write.seconds for write in writes),
    )
