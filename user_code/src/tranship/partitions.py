"""Which rows a Dagster partition stands for: partition definitions and keys into slices."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any

import dagster as dg

from tranship.errors import ConfigurationError
from tranship.slices import AllOf, AnyOf, KeyRange, Nothing, Slice, TimeWindow, Values

PartitionExpression = str | Mapping[str, str] | None


def slice_of_partitions(
    partitions_def: dg.PartitionsDefinition[Any],
    keys: Sequence[str],
    *,
    owner: str,
    partition_expr: PartitionExpression,
    column_zone: str = "UTC",
    key_ranges: Mapping[str, Sequence[Any]] | None = None,
    shares_hours: bool = False,
) -> Slice:
    """The slice of a table that a set of partition keys stands for.

    Args:
        partitions_def: The definition the keys belong to.
        keys: The partition keys; none of them stand for no rows.
        owner: Whose partitions they are, for messages: "asset sales".
        partition_expr: The column that holds the partition; by dimension for multi-partitions.
        column_zone: The zone of a time-window column that has no zone of its own.
        key_ranges: For partitions that are key ranges: the first key that belongs and the first
            that no longer does, by partition key. `None` leaves a side open.
        shares_hours: Whether the two hourly partitions of an hour that comes twice have the rows of both,
            where the column does not tell one from the other; they are refused otherwise.

    Returns:
        One slice; neighbouring time windows are joined, so a month of days is one range.

    Raises:
        ConfigurationError: `partition_expr` is missing or lacks a dimension; the message shows the
            metadata to add.

    Example:
        >>> days = dg.DailyPartitionsDefinition("2024-01-01", timezone="US/Central")
        >>> keys = ["2024-01-01", "2024-01-02"]
        >>> str(slice_of_partitions(days, keys, owner="asset sales", partition_expr="OrderDate"))
        '2024-01-01T00:00:00-06:00 <= "OrderDate" < 2024-01-03T00:00:00-06:00'
    """
    if not keys:
        return Nothing()
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return _multi_slice(partitions_def, keys, owner, partition_expr, column_zone, shares_hours)
    if not isinstance(partition_expr, str) or not partition_expr:
        raise ConfigurationError(
            f"The {owner} is partitioned, but nothing says which column holds the partition.",
            'Add it to the metadata: metadata={"partition_expr": "OrderDate"}.',
        )
    return _one_dimension(
        partitions_def, keys, partition_expr, column_zone, key_ranges, shares_hours=shares_hours
    )


def _one_dimension(
    partitions_def: dg.PartitionsDefinition[Any],
    keys: Sequence[str],
    column: str,
    column_zone: str,
    key_ranges: Mapping[str, Sequence[Any]] | None = None,
    *,
    shares_hours: bool,
) -> Slice:
    if key_ranges is not None:
        return _any_of([_key_range(column, key, key_ranges) for key in keys])
    if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        return _any_of(
            [
                TimeWindow(column, start, end, column_zone, shares_hours)
                for start, end in _joined_windows(partitions_def, keys)
            ]
        )
    return Values(column, tuple(keys))


def _joined_windows(
    partitions_def: dg.TimeWindowPartitionsDefinition, keys: Sequence[str]
) -> list[tuple[datetime, datetime]]:
    # Compared as instants: in the hour that clocks go back through, datetimes of one zone do not differ.
    windows = sorted(
        (partitions_def.time_window_for_partition_key(key) for key in set(keys)),
        key=lambda window: window.start.timestamp(),
    )
    joined = [(windows[0].start, windows[0].end)]
    for window in windows[1:]:
        if window.start.timestamp() == joined[-1][1].timestamp():
            joined[-1] = (joined[-1][0], window.end)
        else:
            joined.append((window.start, window.end))
    return joined


def _key_range(column: str, key: str, key_ranges: Mapping[str, Sequence[Any]]) -> Slice:
    bounds = key_ranges.get(key)
    if bounds is None or len(bounds) != 2:
        raise ConfigurationError(
            f'The partition {key!r} has no key range for "{column}".',
            f'Give it one: metadata={{"partition_key_ranges": {{{key!r}: [0, 1000000]}}}}.',
        )
    return KeyRange(column, bounds[0], bounds[1])


def _multi_slice(
    partitions_def: dg.MultiPartitionsDefinition,
    keys: Sequence[str],
    owner: str,
    partition_expr: PartitionExpression,
    column_zone: str,
    shares_hours: bool,
) -> Slice:
    names = [dimension.name for dimension in partitions_def.partitions_defs]
    columns: Mapping[str, str] = partition_expr if isinstance(partition_expr, Mapping) else {}
    missing = [name for name in names if not columns.get(name)]
    if missing:
        example = ", ".join(f'"{name}": "{columns.get(name) or "column"}"' for name in names)
        raise ConfigurationError(
            f"The {owner} is partitioned by {', '.join(names)}, but no column is given for "
            f"{', '.join(missing)}.",
            f'Name a column for each: metadata={{"partition_expr": {{{example}}}}}.',
        )
    chosen = [partitions_def.get_partition_key_from_str(str(key)).keys_by_dimension for key in keys]
    dimensions = {
        dimension.name: dimension.partitions_def for dimension in partitions_def.partitions_defs
    }

    def slice_of(name: str, dimension_keys: Sequence[str]) -> Slice:
        return _one_dimension(
            dimensions[name],
            dimension_keys,
            columns[name],
            column_zone,
            shares_hours=shares_hours,
        )

    by_dimension = {name: list(dict.fromkeys(key[name] for key in chosen)) for name in names}
    full_grid = {tuple(combination) for combination in product(*by_dimension.values())}
    if full_grid == {tuple(key[name] for name in names) for key in chosen}:
        return AllOf(tuple(slice_of(name, by_dimension[name]) for name in names))
    return _any_of([AllOf(tuple(slice_of(name, [key[name]]) for name in names)) for key in chosen])


def _any_of(slices: Sequence[Slice]) -> Slice:
    return slices[0] if len(slices) == 1 else AnyOf(tuple(slices))
