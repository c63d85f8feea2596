"""One replicated table as Dagster knows it: its key, its step, its partitions, its checks."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
from pydantic import Field

from tranship.errors import ConfigurationError
from tranship.names import identifier, key_part
from tranship.partitions import slice_of_partitions
from tranship.replication.config import CheckSettings, PartitionSettings, TableSettings
from tranship.replication.plan import TablePlan
from tranship.slices import AnyOf, Slice, Values
from tranship.tables import Column, SourceType, TableName

ROW_COUNT = "as_many_rows_as_the_source"
COLUMNS = "columns_agree_with_the_source"
RECENT_ROWS = "recent_rows_as_in_the_source"
UNIQUE_KEY = "no_key_twice"
HISTORY = "history_as_the_copy"
SCHEMA_DRIFT = "columns_as_in_the_source"
NO_GAP = "changes_without_a_gap"
HEADROOM = "retention_headroom"
_BY_TIME: dict[str, type[dg.TimeWindowPartitionsDefinition]] = {
    "hour": dg.HourlyPartitionsDefinition,
    "day": dg.DailyPartitionsDefinition,
    "week": dg.WeeklyPartitionsDefinition,
    "month": dg.MonthlyPartitionsDefinition,
}


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
        return step_name(target) + own

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
        columns = self.checks.columns
        return columns if isinstance(columns, bool) else tuple(columns)

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
                checks.recent_rows and self.plan.may_follow_a_cursor,
                "The keys and cursor values of the rows right behind the bookmark add up to the source's.",
            ),
            UNIQUE_KEY: (
                checks.unique_key and bool(self.plan.key or self.plan.is_incremental),
                "No key comes twice in the copy.",
            ),
            HISTORY: (
                checks.history and self.plan.history is not None,
                "The versions that hold are of the copy's keys, and none overlap.",
            ),
            SCHEMA_DRIFT: (checks.schema_drift, "The copy's columns are those the source has now."),
            NO_GAP: (
                checks.change_record and self.plan.may_follow_a_record,
                "No change was cleaned up in the source before it was loaded.",
            ),
            HEADROOM: (
                checks.change_record and self.plan.may_follow_a_record,
                "Loads follow each other within half of the time that the source keeps changes for.",
            ),
        }
        return [
            dg.AssetCheckSpec(
                name,
                asset=self.asset_key,
                description=description,
                blocking=checks.blocking and name not in {SCHEMA_DRIFT, NO_GAP, HEADROOM},
            )
            for name, (is_wanted, description) in wanted.items()
            if is_wanted
        ]


def step_name(target: TableName) -> str:
    """A name that no other table's step has in a code location: `a_b` and `c` are not `a` and `b_c`.

    Example:
        >>> step_name(TableName("staging", "DimDate")), step_name(TableName("sales_copy", "Orders"))
        ('replicate_staging_DimDate', 'replicate_sales_copy__Orders')
    """
    schema, name = target.schema, target.name
    joined = (schema + "_", name) if "_" in schema else (schema, name)
    is_clear = "__" not in schema + "." + name and not schema.endswith("_")
    if is_clear and not ("_" in schema and name.startswith("_")):
        return identifier("replicate", *joined)
    digest = hashlib.sha256(f"{schema}\0{name}".encode()).hexdigest()[:8]
    return f"{identifier('replicate', *joined)}_{digest}"


def partitions_definition(
    settings: PartitionSettings, table: TableName
) -> dg.PartitionsDefinition[Any]:
    """The partitions of a table.

    Raises:
        ConfigurationError: The settings name none of the three kinds of partitions, or more than one.

    Example:
        >>> settings = PartitionSettings(column="OrderDate", every="month", start="2024-01-01")
        >>> partitions_definition(settings, TableName("dbo", "Sales")).get_first_partition_key()
        '2024-01-01'
    """
    given = [name for name in ("every", "values", "ranges") if getattr(settings, name)]
    if len(given) != 1:
        raise ConfigurationError(
            f"The partitions of {table} need exactly one of every, values and ranges; "
            f"{' and '.join(given) or 'none'} is given.",
            "Write {column: OrderDate, every: month, start: 2024-01-01}, for example.",
        )
    if settings.values:
        return dg.StaticPartitionsDefinition([str(value) for value in settings.values])
    if settings.ranges:
        return dg.StaticPartitionsDefinition(list(settings.ranges))
    if settings.start is None:
        raise ConfigurationError(
            f"The partitions of {table} have no start.", "Name the first one: start: 2024-01-01."
        )
    definition: Any = _BY_TIME[settings.every or "day"]
    start = (
        f"{settings.start}-00:00"
        if settings.every == "hour" and len(settings.start) == 10
        else settings.start
    )
    try:
        return definition(start_date=start, timezone=settings.timezone)
    except Exception as error:
        raise ConfigurationError(
            f"The partitions of {table} cannot start at {settings.start} in {settings.timezone}: {error}.",
            "Write the start like 2024-01-01, and the zone like Europe/Berlin.",
        ) from error


def slices_of(
    settings: PartitionSettings,
    definition: dg.PartitionsDefinition[Any],
    keys: Sequence[str],
    table: TableName,
    column: Column | None = None,
) -> Callable[[str], Slice]:
    """Gives the rows of some partitions, by what the column is called.

    Args:
        settings: How the table is partitioned.
        definition: The same as Dagster knows it.
        keys: The partitions.
        table: Named in errors.
        column: The source's column, where it is known: its values come in the type's own spelling.
    """

    def of(name: str) -> Slice:
        part = slice_of_partitions(
            definition,
            keys,
            owner=f"table {table}",
            partition_expr=name,
            column_zone=settings.column_timezone,
            key_ranges=settings.ranges,
            # Both partitions of an hour that comes twice replace what the source has of both: neither loses a row.
            shares_hours=True,
        )
        declared = column.source_type if column is not None else None
        return part if declared is None else _as_it_arrives(part, declared)

    return of


def _as_it_arrives(part: Slice, declared: SourceType) -> Slice:
    """The same values as rows have them: padded to a fixed length, identifiers in lower case."""
    if isinstance(part, AnyOf):
        return AnyOf(tuple(_as_it_arrives(one, declared) for one in part.slices))
    if not isinstance(part, Values):
        return part
    if declared.name in {"char", "nchar"}:
        length = declared.length or 0
        return replace(part, values=tuple(str(value).ljust(length) for value in part.values))
    if declared.name == "uniqueidentifier":
        return replace(part, values=tuple(str(value).lower() for value in part.values))
    return part
