"""Replication as a Dagster component: what stands in `defs.yaml` becomes assets, checks and schedules."""

import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster.components.utils.defs_state import (
    DefsStateConfig,
    DefsStateConfigArgs,
    ResolvedDefsStateConfig,
)
from dagster_shared.serdes.objects.models.defs_state_info import DefsStateManagementType
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from typing_extensions import override

from tranship.dagster_private.loading import is_loaded_by_dagster, is_loaded_for_a_run
from tranship.errors import ConfigurationError
from tranship.names import digest, identifier, key_part
from tranship.replication.assets import complaint_asset, left_out_asset, replicated_asset
from tranship.replication.changes_sensor import changes_sensor
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.known_tables import KnownTables, WantedTables, known_tables
from tranship.replication.plan import TablePlan
from tranship.replication.planned_tables import PlannedTables, is_pattern, planned_tables
from tranship.replication.replicated_tables import ReplicatedTable
from tranship.replication.scaffolding import ReplicationScaffolder
from tranship.replication.scheduling import schedules
from tranship.secret import Secret, quiet
from tranship.systems import SourceSystem, TargetSystem, is_known, system_as
from tranship.tables import TableName
from tranship.target import keeps_no_history

_NAMED_TABLES_SECONDS = 3
"""How long definitions wait for a server that they could do without."""
_NEVER_ASKED = "nobody has asked for them yet; `dg utils refresh-defs-state` does."

_log = logging.getLogger(__name__)


@quiet
@dg.scaffold_with(ReplicationScaffolder)
class ReplicationComponent(dg.StateBackedComponent, dg.Model, dg.Resolvable):
    """Copies tables of a SQL Server or a Postgres to Postgres or Redshift and keeps them up to date.

    One asset per table. Where a table is named by a pattern, the source is asked for its tables when the code
    location is loaded; runs see the tables of that moment. A source that is down leaves those of the last time.

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

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    source: str = Field(
        default="sqlserver",
        description="Key of the resource to read from: a SqlServerResource or a PostgresResource.",
    )
    source_system: str | None = Field(
        default=None,
        description="Kind of the source, where the key of its resource does not say it: sqlserver or postgres.",
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
        repr=False,  # it may hold a password
        description='For patterns: the source\'s address, such as "{{ env.SQLSERVER_URL }}"; by default '
        "the TRANSHIP_SQLSERVER_ variables.",
    )

    @field_validator("source_url")
    @classmethod
    def _hide(cls, url: str | None) -> Secret | None:
        return None if url is None else Secret(url)

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
        # Runs find what the code server found by this key: two components of one source and schema, each with its own.
        wanted = repr(
            (sorted(self._wanted.patterns.items()), self._wanted.names, self._wanted.views)
        )
        return DefsStateConfig.from_args(
            self.defs_state, default_key=f"{self._key}.{digest(wanted)}"
        )

    @property
    def _key(self) -> str:
        return f"{type(self).__name__}[{self.source}:{self.target}:{self.target_schema}]"

    @property
    def _source_system(self) -> SourceSystem:
        """The system that tables are read from; a key that is no kind is one of SQL Server's."""
        by_key = self.source if is_known(self.source) else "sqlserver"
        return system_as(self.source_system or by_key, SourceSystem)

    @property
    def default_schema(self) -> str:
        """The schema of a table of the source that is named without one."""
        return self._source_system.default_schema

    @property
    def _wanted(self) -> WantedTables:
        named = [one.table for one in self.tables if not is_pattern(one.table)]
        return WantedTables(
            # Not of the patterns: the last answer stands in for those of tomorrow too.
            key=f"{self._key}{'.views' if self.include_views else ''}",
            patterns={one.table: one.exclude for one in self.tables if is_pattern(one.table)},
            names=[
                table for text in named if (table := _parsed(text, self.default_schema)) is not None
            ],
            views=self.include_views,
        )

    @override
    def write_state_to_path(self, state_path: Path) -> None:
        """Ask the source for the tables that match the patterns, and for those that are named.

        Raises:
            ConfigurationError: They are checked with `dg check defs`, and some are not there.
        """
        known = known_tables(self._wanted, self._source_system, self.source_url, os.environ)
        _say(known)
        state_path.write_text(known.as_json(), encoding="utf-8")

    @override
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets, checks, jobs, schedules and sensor of the tables."""
        if not self._wanted.patterns:
            return self._definitions(context, self._named_tables())
        is_kept_elsewhere = (
            self.defs_state_config.management_type
            is not DefsStateManagementType.LEGACY_CODE_SERVER_SNAPSHOTS
        )
        if is_kept_elsewhere or is_loaded_by_dagster():
            return super().build_defs(context)
        # Outside of a code server (a test, a notebook, a script) Dagster has no place to keep the state in, nor would it
        # find it again.
        with tempfile.TemporaryDirectory() as folder:
            state_path = Path(folder) / "state"
            self.write_state_to_path(state_path)
            return self.build_defs_from_state(context, state_path)

    @override
    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """The same, for the tables that the source had."""
        known = (
            KnownTables(not_asked=_NEVER_ASKED)
            if state_path is None
            else KnownTables.from_json(state_path.read_text(encoding="utf-8"))
        )
        return self._definitions(context, known)

    def _named_tables(self) -> KnownTables:
        """Whether named tables are there, where definitions are made: they are loaded whatever comes out."""
        has_address = self.source_url is not None or self._source_system.has_address(os.environ)
        if is_loaded_for_a_run() or not has_address:
            return KnownTables()
        known = known_tables(
            self._wanted,
            self._source_system,
            self.source_url,
            os.environ,
            connect_seconds=_NAMED_TABLES_SECONDS,
        )
        if known.not_asked is not None:
            _log.info("Whether the tables of %s are there: %s", self.source, known.not_asked)
            return KnownTables()
        _say(known)
        return known

    def _definitions(self, context: dg.ComponentLoadContext, known: KnownTables) -> dg.Definitions:
        planned = self.planned_tables(known.present)
        if planned.left_out and _is_check():
            reasons = " ".join(f"{one.source}: {one.reason}" for one in planned.left_out)
            raise ConfigurationError(f"Some tables cannot be replicated. {reasons}", "")
        tables = planned.tables
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
        complaints = (
            []
            if known.complaint is None
            else [
                complaint_asset(
                    dg.AssetKey([key_part(self.target_schema), f"source_of_{name}"]),
                    identifier(self.group or self.target_schema),
                    known.complaint,
                )
            ]
        )
        return dg.Definitions(
            assets=[
                *map(replicated_asset, tables),
                *map(left_out_asset, planned.left_out),
                *complaints,
            ],
            schedules=schedules([*tables, *planned.left_out], name, executor),
            sensors=sensors,
        )

    def replicated_tables(self, present: Sequence[TableName]) -> list[ReplicatedTable]:
        """The tables that are wanted, of those that the source has, without those that cannot be moved."""
        return self.planned_tables(present).tables

    def planned_tables(self, present: Sequence[TableName]) -> PlannedTables:
        """The tables that are wanted, of those that the source has, and those that cannot be moved.

        One table that cannot be moved must not take the others down, nor the code location.
        """
        planned = planned_tables(
            self.tables,
            self.defaults,
            present,
            self._replicated,
            self.target_schema,
            self.default_schema,
        )
        for table in planned.left_out:
            _log.error("%s is left out of the replication: %s", table.source, table.reason)
        return planned

    def _replicated(self, plan: TablePlan, settings: TableSettings) -> ReplicatedTable:
        """A table of a plan.

        Raises:
            ConfigurationError: The target keeps no history, and the table is to have one.
        """
        # A key that is no kind says nothing of its system: the load will.
        if plan.history is not None and is_known(self.target):
            target = system_as(self.target, TargetSystem)
            if not target.keeps_history:
                raise keeps_no_history(target.title, plan.target)
        return ReplicatedTable(
            plan=plan,
            settings=settings,
            source_key=self.source,
            source_kind=self._source_system.kind,
            target_key=self.target,
            group=identifier(self.group or self.target_schema),
            io_manager_key=self.io_manager_key,
        )


def _parsed(text: str, default_schema: str) -> TableName | None:
    """A table's name; `None` for what is none, which is left out with the reason."""
    try:
        return TableName.parse(text, default_schema=default_schema)
    except ConfigurationError:
        return None


def _is_check() -> bool:
    """Whether definitions are made for `dg check defs`, which is to fail where something is wrong."""
    return os.environ.get("DAGSTER_IS_DEFS_VALIDATION_CLI") == "1"


def _say(known: KnownTables) -> None:
    """Tell what is wrong with the tables: in the log, and as an error to who came to check."""
    if known.wrong and _is_check():
        raise ConfigurationError(
            " ".join(known.wrong), "Correct the tables of the replication's defs.yaml."
        )
    if known.complaint is not None:
        _log.error("%s", known.complaint)
