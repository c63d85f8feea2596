"""From entries, defaults and the source's tables to what is replicated, and to what cannot be and why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from tranship.errors import ConfigurationError, TranshipError
from tranship.names import distinct, key_part
from tranship.replication.assets import ReplicatedTable, replicated_asset
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.left_out import LeftOut
from tranship.replication.plan import (
    DEFAULT_SCHEMA,
    TablePlan,
    default_target,
    expand,
    like_named,
    same_targets,
    table_plan,
)
from tranship.replication.scheduling import schedules
from tranship.tables import TableName

Make = Callable[[TablePlan, TableSettings], ReplicatedTable]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What comes of a replication's settings.

    Args:
        tables: The tables that are replicated, in order of their names in the source.
        left_out: Those that cannot be, with the reasons.
    """

    tables: list[ReplicatedTable]
    left_out: list[LeftOut]


def arranged(
    entries: Sequence[TableSettings],
    defaults: Tuning,
    present: Sequence[TableName],
    make: Make,
    target_schema: str,
    default_schema: str = DEFAULT_SCHEMA,
) -> Arrangement:
    """Arrange a replication; whatever is wrong with one table is that table's own affair.

    Args:
        entries: The entries of the configuration.
        defaults: What holds where an entry says nothing.
        present: The source's tables, for the patterns.
        make: Makes a table of its plan and its settings.
        target_schema: Schema of the copies.
        default_schema: The schema of a table of the source that is named without one.
    """
    work = _Arranging(make, target_schema, default_schema)
    settings_of = expand(entries, defaults, present, work.refuse, default_schema)
    planned: list[ReplicatedTable] = []
    for source, settings in sorted(settings_of.items()):
        try:
            plan = table_plan(settings, source, target_schema, default_schema)
            planned.append(make(plan, settings))
        except TranshipError as error:
            work.refuse(source, error, settings)
    made = [table for table in work.without_same_targets(planned) if work.can_be_made(table)]
    return Arrangement(made, work.left_out(taken={table.asset_key for table in made}))


class _Arranging:
    """Collects what is refused on the way."""

    def __init__(self, make: Make, target_schema: str, default_schema: str) -> None:
        self._make = make
        self._default_schema = default_schema
        self._schema = target_schema
        self._refused: list[tuple[str, str, TableSettings, str]] = []

    def refuse(
        self, source: TableName, error: TranshipError, settings: TableSettings | None = None
    ) -> None:
        settings = settings or TableSettings(table=str(source))
        name = default_target(source, self._default_schema)
        self._refused.append((str(source), name, settings, str(error)))

    def without_same_targets(self, tables: Sequence[ReplicatedTable]) -> list[ReplicatedTable]:
        """The tables that have their targets for themselves, under keys that no other one has."""
        plans = [table.plan for table in tables]
        same = same_targets(plans)
        for target, error in same.items():
            # Which of them the target belongs to cannot be known: to load one might put its rows over another's.
            together = [table for table in tables if table.plan.target == target]
            sources = ", ".join(str(table.plan.source) for table in together)
            self._refused.append((sources, target.name, together[0].settings, str(error)))
        own = [table for table in tables if table.plan.target not in same]
        like = like_named(plans)
        names = distinct((table.plan.target.name for table in own), key_part, str)
        return [
            replace(
                table,
                key_name=names[table.plan.target.name],
                like_named=like.get(table.plan.target, frozenset()),
            )
            for table in own
        ]

    def can_be_made(self, table: ReplicatedTable) -> bool:
        """Whether Dagster takes the table as it is."""
        settings, source = table.settings, str(table.plan.source)
        try:
            schedules([table], "trial", dg.in_process_executor)
        except Exception as error:  # noqa: BLE001 - see below
            reason, settings = _reason(error), settings.model_copy(update={"schedule": None})
        else:
            try:
                replicated_asset(table)
            # Dagster says what it does not take by its own errors, by those of its checks and of pydantic. Whatever
            # it is, the other tables are well, and the reason is told.
            except Exception as error:  # noqa: BLE001
                reason = _reason(error)
            else:
                return True
        self._refused.append((source, table.plan.target.name, settings, reason))
        return False

    def left_out(self, taken: Iterable[dg.AssetKey]) -> list[LeftOut]:
        """What was refused, each under a key of its own."""
        used = set(taken)
        found: list[LeftOut] = []
        for source, name, settings, reason in self._refused:
            like = self._make(TablePlan(TableName("", ""), TableName(self._schema, name)), settings)
            key = like.asset_key
            while key in used:
                key = dg.AssetKey([*key.path[:-1], f"{key.path[-1]}_left_out"])
            used.add(key)
            found.append(LeftOut(source, key, like.group, reason, settings, like.io_manager_key))
        return found


def _reason(error: Exception) -> str:
    if isinstance(error, TranshipError):
        return str(error)
    remedy = "Correct its settings in the replication's defs.yaml."
    return str(
        ConfigurationError(f"Dagster does not take its settings: {error}".rstrip(".") + ".", remedy)
    )
