"""Which tables are replicated: from entries, defaults and the source's tables to the settings of each, and to what cannot be moved and why.

Whatever is wrong with one table is that table's own affair.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from tranship.errors import ConfigurationError, TranshipError
from tranship.names import distinct, key_part
from tranship.patterns import has_wildcards, select_tables
from tranship.replication.assets import LeftOut, replicated_asset
from tranship.replication.config import TableSettings, Tuning, merged
from tranship.replication.plan import DEFAULT_SCHEMA, TablePlan, default_target, table_plan
from tranship.replication.replicated_tables import ReplicatedTable
from tranship.replication.scheduling import schedules
from tranship.tables import TableName

Refuse = Callable[[TableName, TranshipError], None]
"""Takes a table that cannot be moved, and why."""
Make = Callable[[TablePlan, TableSettings], ReplicatedTable]


def is_pattern(text: str) -> bool:
    """Whether a table's name is a pattern, for which the source must be asked.

    Example:
        >>> is_pattern("dbo.Dim*"), is_pattern("dbo.[Order*]")
        (True, False)
    """
    return has_wildcards(text)


def expand(
    tables: Sequence[TableSettings],
    defaults: Tuning,
    present: Sequence[TableName],
    refuse: Refuse | None = None,
    default_schema: str = DEFAULT_SCHEMA,
) -> dict[TableName, TableSettings]:
    """Every table that is wanted, with its settings and the defaults in one.

    Args:
        tables: The entries of the configuration.
        defaults: What holds where an entry says nothing.
        present: The source's tables, for the patterns; may be empty where there is no pattern.
        refuse: Takes a table whose entries contradict each other, which is then left out; by default the error
            is raised.
        default_schema: The schema of a table that is named without one.

    Raises:
        ConfigurationError: Two entries are about the same table.
    """
    refused: set[TableName] = set()

    def refuse_once(name: TableName, error: ConfigurationError) -> None:
        if name not in refused:
            refused.add(name)
            (refuse or _raised)(name, error)

    named = _named(tables, defaults, refuse or _raised, refuse_once, default_schema)
    by_pattern: dict[TableName, TableSettings] = {}
    for entry in tables:
        if not is_pattern(entry.table):
            continue
        for name in select_tables(
            present, [entry.table], exclude=entry.exclude, default_schema=default_schema
        ):
            if name in named:
                continue
            if name in by_pattern:
                what = f"{name} matches both {by_pattern[name].table} and {entry.table}."
                remedy = "Exclude it from one of the two, or give it an entry of its own."
                refuse_once(name, ConfigurationError(what, remedy))
            by_pattern[name] = merged(defaults, entry)
    wanted = {**named, **by_pattern}
    return {name: settings for name, settings in wanted.items() if name not in refused}


def _named(
    tables: Sequence[TableSettings],
    defaults: Tuning,
    refuse: Refuse,
    refuse_once: Callable[[TableName, ConfigurationError], None],
    default_schema: str,
) -> dict[TableName, TableSettings]:
    """The tables that entries name themselves."""
    named: dict[TableName, TableSettings] = {}
    for entry in tables:
        if is_pattern(entry.table):
            continue
        try:
            name = TableName.parse(entry.table, default_schema=default_schema)
        except ConfigurationError as error:
            refuse(TableName(default_schema, entry.table), error)
            continue
        if name in named:
            what = f"{name} stands twice in the configuration."
            refuse_once(name, ConfigurationError(what, "Remove one of the two entries."))
        named[name] = merged(defaults, entry)
    return named


def _raised(_: TableName, error: TranshipError) -> None:
    raise error


def check_targets(plans: Sequence[TablePlan]) -> None:
    """Refuse two tables that would be copied to one.

    Raises:
        ConfigurationError: The message names both.
    """
    for error in same_targets(plans).values():
        raise error


def same_targets(plans: Sequence[TablePlan]) -> dict[TableName, ConfigurationError]:
    """Why the tables cannot be copied that would be copied to one: by its name.

    A history that would be a copy is no copy's fault: `history_in_the_way` says whose it is.
    """
    sharing: defaultdict[TableName, list[TablePlan]] = defaultdict(list)
    for plan in plans:
        sharing[plan.target].append(plan)
    return {
        target: ConfigurationError(
            f"{' and '.join(str(plan.source) for plan in together)} would both be copied to {target}.",
            'Give one of them another name with target, or all of them with target: "{schema}_{table}".',
        )
        for target, together in sharing.items()
        if len(together) > 1
    }


def history_in_the_way(plan: TablePlan, plans: Sequence[TablePlan]) -> ConfigurationError | None:
    """Why a table's history cannot be where it is to be: another table is copied there, or has its history there."""
    if plan.history is None:
        return None
    table = _folded(plan.history.table)
    for other in plans:
        if other is plan:
            continue
        what = "is copied" if _folded(other.target) == table else None
        if other.history is not None and _folded(other.history.table) == table:
            what = "has its history"
        if what is not None:
            return ConfigurationError(
                f"{plan.source} would have its history in {plan.history.table}, where {other.source} {what}.",
                "Give the history another name: history: {table: ...}.",
            )
    return None


def _folded(table: TableName) -> tuple[str, str]:
    """A name as a target has it that knows no case."""
    return table.schema.lower(), table.name.lower()


def like_named(plans: Sequence[TablePlan]) -> dict[TableName, frozenset[TableName]]:
    """The other targets whose names differ from a target's by case alone, by its name.

    Postgres keeps them apart; Redshift, which folds names, does not.
    """
    sharing: defaultdict[tuple[str, str], set[TableName]] = defaultdict(set)
    for plan in plans:
        sharing[plan.target.schema.lower(), plan.target.name.lower()].add(plan.target)
    return {
        target: frozenset(together - {target})
        for together in sharing.values()
        if len(together) > 1
        for target in together
    }


@dataclass(frozen=True, slots=True)
class PlannedTables:
    """What comes of a replication's settings.

    Args:
        tables: The tables that are replicated, in order of their names in the source.
        left_out: Those that cannot be, with the reasons.
    """

    tables: list[ReplicatedTable]
    left_out: list[LeftOut]


def planned_tables(
    entries: Sequence[TableSettings],
    defaults: Tuning,
    present: Sequence[TableName],
    make: Make,
    target_schema: str,
    default_schema: str = DEFAULT_SCHEMA,
) -> PlannedTables:
    """Plan the tables of a replication; whatever is wrong with one table is that table's own affair.

    Args:
        entries: The entries of the configuration.
        defaults: What holds where an entry says nothing.
        present: The source's tables, for the patterns.
        make: Makes a table of its plan and its settings.
        target_schema: Schema of the copies.
        default_schema: The schema of a table of the source that is named without one.
    """
    work = _Planning(make, target_schema, default_schema)
    settings_of = expand(entries, defaults, present, work.refuse, default_schema)
    planned: list[ReplicatedTable] = []
    for source, settings in sorted(settings_of.items()):
        try:
            plan = table_plan(settings, source, target_schema, default_schema)
            planned.append(make(plan, settings))
        except TranshipError as error:
            work.refuse(source, error, settings)
    made = [table for table in work.without_same_targets(planned) if work.can_be_made(table)]
    return PlannedTables(made, work.left_out(taken={table.asset_key for table in made}))


class _Planning:
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
        for table in own:
            if (error := history_in_the_way(table.plan, plans)) is not None:
                self.refuse(table.plan.source, error, table.settings)
        own = [table for table in own if history_in_the_way(table.plan, plans) is None]
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
        left_out: list[LeftOut] = []
        for source, name, settings, reason in self._refused:
            like = self._make(TablePlan(TableName("", ""), TableName(self._schema, name)), settings)
            key = like.asset_key
            while key in used:
                key = dg.AssetKey([*key.path[:-1], f"{key.path[-1]}_left_out"])
            used.add(key)
            left_out.append(LeftOut(source, key, like.group, reason, settings, like.io_manager_key))
        return left_out


def _reason(error: Exception) -> str:
    if isinstance(error, TranshipError):
        return str(error)
    remedy = "Correct its settings in the replication's defs.yaml."
    return str(
        ConfigurationError(f"Dagster does not take its settings: {error}".rstrip(".") + ".", remedy)
    )
