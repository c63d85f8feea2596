"""A table's partition settings as a Dagster partitions definition, and its keys as slices."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from tranship.errors import ConfigurationError
from tranship.partitions import slice_of_partitions
from tranship.replication.config import PartitionSettings
from tranship.slices import AnyOf, Slice, Values
from tranship.tables import Column, SourceType, TableName

_BY_TIME: dict[str, type[dg.TimeWindowPartitionsDefinition]] = {
    "hour": dg.HourlyPartitionsDefinition,
    "day": dg.DailyPartitionsDefinition,
    "week": dg.WeeklyPartitionsDefinition,
    "month": dg.MonthlyPartitionsDefinition,
}


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
