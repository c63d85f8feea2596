"""A table's partition settings as a Dagster partitions definition, and its keys as slices."""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from tranship.errors import ConfigurationError
from tranship.partitions import slice_of_partitions
from tranship.replication.config import PartitionSettings
from tranship.slices import Slice
from tranship.tables import TableName

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
) -> Callable[[str], Slice]:
    """Gives the rows of some partitions, by what the column is called."""

    def of(column: str) -> Slice:
        return slice_of_partitions(
            definition,
            keys,
            owner=f"table {table}",
            partition_expr=column,
            column_zone=settings.column_timezone,
            key_ranges=settings.ranges,
            # Both partitions of an hour that comes twice replace what the source has of both: neither loses a row.
            shares_hours=True,
        )

    return of
