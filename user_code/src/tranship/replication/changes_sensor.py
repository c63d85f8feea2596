"""The sensor that loads the tables whose source has changed, and no others; and what it keeps of each table between two looks.

It looks what became of the loads it asked for before it asks for more. A table's mark moves when a load that was asked for has
succeeded, never before, and is compared for being another one, not a later one: a table that changes and changes back is
loaded after each change.
"""

# Dagster's own signatures leave type arguments out.
# pyright: reportUnknownMemberType=false

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import dagster as dg

from tranship.dagster_private.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from tranship.failures import as_failures
from tranship.replication.replicated_tables import ReplicatedTable
from tranship.systems import SourceSystem, system_of_resource
from tranship.tables import TableName

LONGEST_PAUSE_SECONDS = 3600.0
LAUNCH_SECONDS = 600.0
"""How long the run of a load that was asked for may take to appear, before it is asked for again."""
_VERSION = 2
"""Of the cursor's form. The first one moved a mark when a run was asked for, so what it says was not always loaded."""
ASKED_TAG = "tranship/asked"
"""On a run and on every retry of it: what the sensor knows it by."""
RETRY_SECONDS = 600.0
"""How long a retry that Dagster has announced is waited for."""
_EVENTS_AT_ONCE = 1000


class Outcome(StrEnum):
    """What became of a load that was asked for."""

    UNDER_WAY = "under way"
    LOADED = "loaded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """There is no run of it: it is not launched yet, was never launched, or was deleted."""


@dataclass(frozen=True, slots=True)
class RequestedLoad:
    """A load that was asked for.

    Args:
        token: What its run is known by.
        mark: What was seen of the table when it was asked for, before any row was read.
        at: When it was asked for, in seconds.
        is_launched: Whether its run was seen.
    """

    token: str
    mark: str
    at: float
    is_launched: bool = False


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """One table.

    Args:
        seen: What was seen of it before its last successful load; `None` before the first.
        asked: The load that was asked for and whose outcome is not known yet.
        failures: Loads that failed in a row.
        not_before: The moment, in seconds, before which it is not asked for again.
    """

    seen: str | None = None
    asked: RequestedLoad | None = None
    failures: int = 0
    not_before: float = 0.0

    def settled(self, outcome: Outcome, now: float, pause_seconds: float) -> "WatchedTable":
        """The same once something is known of the load that was asked for.

        Args:
            outcome: What became of it.
            now: The time, in seconds.
            pause_seconds: The pause after one failure; it doubles with each, up to an hour.

        Example:
            >>> asked = WatchedTable(asked=RequestedLoad("run", "mark", at=90))
            >>> asked.settled(Outcome.LOADED, 0, 60)
            WatchedTable(seen='mark', asked=None, failures=0, not_before=0.0)
            >>> asked.settled(Outcome.FAILED, 100, 60).not_before
            160
        """
        if self.asked is None:
            return self
        if outcome is Outcome.UNDER_WAY:
            return replace(self, asked=replace(self.asked, is_launched=True))
        if outcome is Outcome.LOADED:
            return WatchedTable(seen=self.asked.mark)
        if outcome is Outcome.UNKNOWN:
            waits = not self.asked.is_launched and 0 <= now - self.asked.at < LAUNCH_SECONDS
            return self if waits else replace(self, asked=None)
        failures = self.failures + 1
        pause = min(pause_seconds * 2 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)
        return replace(self, asked=None, failures=failures, not_before=now + pause)

    def is_free(self, now: float) -> bool:
        """Whether it may be asked for now: nothing is under way, and no failure is too fresh."""
        # A clock that was set back must not make a pause of an hour one of a year.
        waits = now < self.not_before <= now + LONGEST_PAUSE_SECONDS
        is_loading = self.asked is not None and self.asked.is_launched
        return not is_loading and not waits

    @property
    def last_mark(self) -> str | None:
        """What was last seen of it that a load was asked for by."""
        return self.seen if self.asked is None else self.asked.mark

    def needs(self, mark: str) -> bool:
        """Whether a load has to be asked for, by what is seen of the table now."""
        return mark not in {self.seen, self.last_mark}

    def asks(self, token: str, mark: str, now: float) -> "WatchedTable":
        """The same with a load that is asked for now."""
        return replace(self, asked=RequestedLoad(token, mark, now))


def from_cursor(cursor: str | None) -> dict[str, WatchedTable]:
    """What a sensor's cursor says of each table; nothing where it was kept by rules of old.

    Example:
        >>> from_cursor(as_cursor({"a": WatchedTable(seen="1")}))["a"].seen, from_cursor('{"a": "7:12"}')
        ('1', {})
    """
    kept: Any = json.loads(cursor or "{}")
    if kept.get("version") != _VERSION:
        return {}
    return {name: _watched(fields) for name, fields in kept["tables"].items()}


def as_cursor(tables: Mapping[str, WatchedTable]) -> str:
    """The same as a text that a sensor keeps."""
    kept = {name: asdict(watched) for name, watched in tables.items()}
    return json.dumps({"version": _VERSION, "tables": kept}, sort_keys=True)


def _watched(fields: dict[str, Any]) -> WatchedTable:
    asked = fields.pop("asked")
    return WatchedTable(asked=None if asked is None else RequestedLoad(**asked), **fields)


def changes_sensor(
    tables: Sequence[ReplicatedTable],
    name: str,
    every_seconds: int,
    executor: dg.ExecutorDefinition,
) -> dg.SensorDefinition:
    """A sensor that launches the tables whose source has changed since they were loaded, and no others.

    What is built on a changed table in the same group is refreshed in the same run. A table whose load failed is asked for
    again after a pause that grows; one that is being loaded is left alone until that is over.

    Args:
        tables: The tables, of one source. Partitioned ones are left to their schedules.
        name: What the sensor and its job are called after.
        every_seconds: How often it looks.
        executor: How the job runs its steps.
    """
    watched = {
        table.asset_key.to_user_string(): table for table in tables if table.partitions is None
    }
    groups = sorted({table.settings.group or table.group for table in tables})
    sensor = _Sensor(watched, tables[0].source_key, groups, every_seconds)
    job = dg.define_asset_job(
        f"{name}_changes_job",
        selection=sensor.with_dependents(watched.values()),
        executor_def=executor,
    )

    def evaluate(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return sensor.evaluate(context)

    return dg.SensorDefinition(
        name=f"{name}_changes_sensor",
        evaluation_fn=evaluate,
        job=job,
        minimum_interval_seconds=every_seconds,
        required_resource_keys={sensor.source_key},
        description="Loads the tables whose source has changed. Off until it is switched on: it reads each "
        "table that has no rowversion and is not tracked in the source to fingerprint it.",
    )


@dataclass(frozen=True, slots=True)
class _Sensor:
    """The tables that are looked at, by their asset keys as texts, and how."""

    watched: Mapping[str, ReplicatedTable]
    source_key: str
    groups: Sequence[str]
    every_seconds: int

    def with_dependents(self, tables: Iterable[ReplicatedTable]) -> dg.AssetSelection:
        own = dg.AssetSelection.assets(*(table.asset_key for table in tables))
        return own | (own.downstream() & dg.AssetSelection.groups(*self.groups))

    def evaluate(self, context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        resource = getattr(context.resources, self.source_key)
        now = _now()
        kept = from_cursor(context.cursor)
        known = _settled(context, self.watched, kept, now, self.every_seconds)
        free = {name: self.watched[name] for name, state in known.items() if state.is_free(now)}
        with as_failures():
            source = system_of_resource(self.source_key, resource, SourceSystem)
            before = {
                table.plan.source: mark
                for name, table in free.items()
                if (mark := known[name].last_mark) is not None
            }
            marks, refused = source.fingerprints(
                resource.settings(), [table.plan.source for table in free.values()], before
            )
        token = uuid.uuid4().hex
        changed = [
            name
            for name, table in free.items()
            if (mark := marks.get(table.plan.source)) is not None and known[name].needs(mark)
        ]
        for name in changed:
            known[name] = known[name].asks(token, marks[self.watched[name].plan.source], now)
        context.update_cursor(as_cursor(known))
        _say_what_cannot_be_seen(context, refused, fails=not changed)
        if not changed:
            return dg.SkipReason(_why_nothing(known, now))
        return self._request(context, token, [self.watched[name] for name in changed])

    def _request(
        self,
        context: dg.SensorEvaluationContext,
        token: str,
        changed: Sequence[ReplicatedTable],
    ) -> dg.RunRequest:
        repository = context.repository_def
        if repository is None:
            raise dg.Failure("The sensor was evaluated outside of a code location.")
        graph = repository.asset_graph
        selected = self.with_dependents(changed).resolve(graph)
        return dg.RunRequest(
            # Of this request alone: it launches no second run when a tick is resumed, and never stands for a state of
            # the tables, which may come back.
            run_key=token,
            asset_selection=sorted(
                key for key in selected if graph.get(key).partitions_def is None
            ),
            tags={
                ASKED_TAG: token,
                "tranship/changed": ", ".join(table.plan.source.name for table in changed),
            },
        )


def _now() -> float:
    return time.time()


def _settled(
    context: dg.SensorEvaluationContext,
    watched: Mapping[str, ReplicatedTable],
    kept: Mapping[str, WatchedTable],
    now: float,
    pause_seconds: float,
) -> dict[str, WatchedTable]:
    """What is known of each table, once it was looked up what became of what was asked for."""
    runs = _Runs(context.instance, now)
    states = {shown: kept.get(shown, WatchedTable()) for shown in watched}
    return {
        shown: state
        if state.asked is None
        else state.settled(
            runs.outcome(state.asked.token, watched[shown].asset_key), now, pause_seconds
        )
        for shown, state in states.items()
    }


class _Runs:
    """What became of the runs that were asked for; each is looked up once."""

    def __init__(self, instance: dg.DagsterInstance, now: float) -> None:
        self._instance = instance
        self._now = now
        self._loaded: dict[str, set[dg.AssetKey] | None] = {}

    def outcome(self, token: str, key: dg.AssetKey) -> Outcome:
        records = self._instance.get_run_records(dg.RunsFilter(tags={ASKED_TAG: token}))
        if not records:
            return Outcome.UNKNOWN
        if any(self._is_under_way(record) for record in records):
            return Outcome.UNDER_WAY
        if token not in self._loaded:
            ids = [record.dagster_run.run_id for record in records]
            self._loaded[token] = {one for run_id in ids for one in self._materialized(run_id)}
        return Outcome.LOADED if key in (self._loaded[token] or set()) else Outcome.FAILED

    def _is_under_way(self, record: dg.RunRecord) -> bool:
        run = record.dagster_run
        if not run.is_finished:
            return True
        announced = run.tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in run.tags
        ended = record.end_time or 0.0
        return run.is_failure and announced and self._now - ended < RETRY_SECONDS

    def _materialized(self, run_id: str) -> set[dg.AssetKey]:
        keys: set[dg.AssetKey] = set()
        cursor = None
        while True:
            part = self._instance.get_records_for_run(
                run_id, cursor, dg.DagsterEventType.ASSET_MATERIALIZATION, _EVENTS_AT_ONCE
            )
            keys |= {record.asset_key for record in part.records if record.asset_key is not None}
            if not part.has_more:
                return keys
            cursor = part.cursor


def _say_what_cannot_be_seen(
    context: dg.SensorEvaluationContext, refused: Mapping[TableName, Exception], *, fails: bool
) -> None:
    """A table that cannot be looked at keeps none of the others back, and is not passed over either."""
    if not refused:
        return
    listed = "; ".join(f"{table}: {error}" for table, error in refused.items())
    if fails:
        raise dg.Failure(f"{len(refused)} tables of the source cannot be looked at: {listed}")
    context.log.error(f"{len(refused)} tables of the source cannot be looked at: {listed}")


def _why_nothing(known: Mapping[str, WatchedTable], now: float) -> str:
    loading = sum(state.asked is not None and state.asked.is_launched for state in known.values())
    free = sum(state.is_free(now) for state in known.values())
    waiting = len(known) - loading - free
    parts = [f"None of {free} source tables has changed." if free else ""]
    if loading:
        parts.append(f"{loading} are being loaded.")
    if waiting:
        parts.append(f"{waiting} wait before they are tried again, as their last load failed.")
    return " ".join(part for part in parts if part)
