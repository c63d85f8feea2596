"""Replication as a Dagster component: what stands in `defs.yaml` becomes assets, checks and schedules."""

import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster.components.utils.defs_state import (
    DefsStateConfig,
    DefsStateConfigArgs,
    ResolvedDefsStateConfig,
)
from pydantic import BaseModel, Field, create_model
from typing_extensions import override

from tranship.errors import UnreachableError
from tranship.names import identifier
from tranship.replication.addresses import source_settings
from tranship.replication.arranging import Arrangement, arranged
from tranship.replication.assets import ReplicatedTable, replicated_asset
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.left_out import left_out_asset
from tranship.replication.plan import is_pattern
from tranship.replication.scaffolding import ReplicationScaffolder
from tranship.replication.scheduling import changes_sensor, schedules
from tranship.sqlserver.catalogue import list_tables
from tranship.tables import TableName

_log = logging.getLogger(__name__)


@dg.scaffold_with(ReplicationScaffolder)
class ReplicationComponent(dg.StateBackedComponent, dg.Model, dg.Resolvable):
    """Copies tables of a SQL Server to Postgres or Redshift and keeps them up to date.

    One asset per table. Where a table is named by a pattern, the source is asked for its tables when the code
    location is loaded; runs see the tables of that moment.

    Example:
        ```yaml
        type: tranship.replication.ReplicationComponent
        attributes:
          source: sqlserver
          target: postgres
          target_schema: staging
          tables:
            - table: dbo.Dim*
            - table: dbo.FactInternetSales
              mode: merge
              cursor: OrderDate
              lookback: 7 days
              schedule: "@daily"
        ```
    """

    source: str = Field(
        default="sqlserver", description="Key of the SqlServerResource to read from."
    )
    target: str = Field(
        default="postgres",
        description="Key of the PostgresResource or RedshiftResource to write to.",
    )
    target_schema: str = Field(default="staging", description="Schema of the copies.")
    group: str | None = Field(
        default=None, description="Group of the assets in the UI; the target's schema by default."
    )
    io_manager_key: str | None = Field(
        default=None,
        description="IO manager through which other assets take these tables as inputs, such as a "
        "PostgresIOManager; without one they can only depend on them.",
    )
    defaults: Tuning = Field(
        default=Tuning(), description="Settings of every table that does not say otherwise."
    )
    tables: list[TableSettings] = Field(description="The tables, by name or pattern.")
    max_concurrent: int = Field(
        default=1,
        description="Tables a scheduled run loads at once. 1 keeps a run in one process, which suits many "
        "small tables; more starts a process for each.",
    )
    watch_changes_seconds: int | None = Field(
        default=None,
        description="Adds a sensor that looks this often which tables have changed in the source, and "
        "loads those. It is off until it is switched on.",
    )
    include_views: bool = Field(default=False, description="Whether patterns match views.")
    source_url: str | None = Field(
        default=None,
        description='For patterns: the source\'s address, such as "{{ env.SQLSERVER_URL }}"; by default '
        "the TRANSHIP_SQLSERVER_ variables.",
    )
    # The code server asks when it is loaded, and hands what it found to every run.
    defs_state: ResolvedDefsStateConfig = DefsStateConfigArgs.legacy_code_server_snapshots()

    @classmethod
    @override
    def get_model_cls(cls) -> type[BaseModel]:
        """The YAML's schema, in which tables are always written out.

        Dagster lets a text stand for any field, as a template for it. An error deep in a table would then be
        reported as one of the whole list.
        """
        return create_model(
            "ReplicationComponentModel",
            __base__=cls.model(),
            defaults=(Tuning, Field(default=Tuning(), description="Settings of every table.")),
            tables=(list[TableSettings], Field(description="The tables, by name or pattern.")),
        )

    @property
    @override
    def defs_state_config(self) -> DefsStateConfig:
        key = f"{type(self).__name__}[{self.source}:{self.target}:{self.target_schema}]"
        return DefsStateConfig.from_args(self.defs_state, default_key=key)

    @property
    def _patterns(self) -> list[str]:
        return [entry.table for entry in self.tables if is_pattern(entry.table)]

    @override
    def write_state_to_path(self, state_path: Path) -> None:
        """Ask the source for the tables that match the patterns."""
        try:
            settings = source_settings(self.source_url, os.environ)
            found = list_tables(settings, self._patterns, views=self.include_views)
        except UnreachableError as error:
            # The other tables and pipelines of the code location must not go down with the source.
            _log.error(
                "The tables of %s are not loaded: %s Reload the code location when the source is back.",
                ", ".join(self._patterns),
                error,
            )
            found = []
        state_path.write_text(json.dumps([[table.schema, table.name] for table in found]))

    @override
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets, checks, jobs, schedules and sensor of the tables."""
        if self._patterns:
            return super().build_defs(context)
        return self.build_defs_from_state(context, None)

    @override
    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """The same, for the tables that the source had.

        Raises:
            ConfigurationError: Settings of a table contradict each other.
        """
        found = json.loads(state_path.read_text()) if state_path is not None else []
        arrangement = self.arranged([TableName(schema, name) for schema, name in found])
        tables = arrangement.tables
        executor = (
            dg.in_process_executor
            if self.max_concurrent == 1
            else dg.multiprocess_executor.configured({"max_concurrent": self.max_concurrent})
        )
        path = "_".join(context.path.relative_to(context.defs_module_path).parts)
        name = identifier(re.sub(r"\W+", "_", path or self.target_schema))
        watched = [table for table in tables if table.partitions is None]
        sensors = (
            [changes_sensor(watched, name, self.watch_changes_seconds, executor)]
            if self.watch_changes_seconds and watched
            else []
        )
        return dg.Definitions(
            assets=[
                *map(replicated_asset, tables),
                *map(left_out_asset, arrangement.left_out),
            ],
            schedules=schedules([*tables, *arrangement.left_out], name, executor),
            sensors=sensors,
        )

    def replicated_tables(self, present: Sequence[TableName]) -> list[ReplicatedTable]:
        """The tables that are wanted, of those that the source has, without those that cannot be moved."""
        return self.arranged(present).tables

    def arranged(self, present: Sequence[TableName]) -> Arrangement:
        """The tables that are wanted, of those that the source has, and those that cannot be moved.

        One table that cannot be moved must not take the others down, nor the code location.
        """
        found = arranged(
            self.tables,
            self.defaults,
            present,
            lambda plan, settings: ReplicatedTable(
                plan=plan,
                settings=settings,
                source_key=self.source,
                target_key=self.target,
                group=identifier(self.group or self.target_schema),
                io_manager_key=self.io_manager_key,
            ),
            self.target_schema,
        )
        for table in found.left_out:
            _log.error("%s is left out of the replication: %s", table.source, table.reason)
        return found
