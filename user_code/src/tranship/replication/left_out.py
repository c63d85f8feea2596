"""What stands in the place of a table that cannot be replicated: an asset that says why, and fails with it.

The others are loaded as ever. The asset has the table's key, so that its history is not lost, and its schedule, so that
no run that leaves it out ends well; the alert sensors tell of it.
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from tranship.failures import LEFT_OUT_METADATA
from tranship.names import identifier
from tranship.replication.config import TableSettings


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
    told = f"{complaint} Reload the code location when that is put right."
    return dg.AssetSpec(key, description=told, group_name=group, metadata={LEFT_OUT_METADATA: told})
