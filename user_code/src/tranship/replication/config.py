"""What stands in a replication's YAML: tables, how each is moved, and spans and shares as people write them. No Dagster here.

Every setting of a table may also stand under `defaults`; a table's own wins. Descriptions are what
`dg check yaml` and the component's documentation show.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from typing_extensions import override

from tranship.errors import ConfigurationError

Scalar = str | int | float
_INCREMENTAL = ("append", "merge")
_ONLY_FOR = {
    "changes": {"merge"},
    "on_gap": {"merge"},
    "cursor": _INCREMENTAL,
    "lookback": _INCREMENTAL,
    "late_rows": _INCREMENTAL,
    "on_cursor_back": _INCREMENTAL,
    "delete": _INCREMENTAL,
    "delete_guard": _INCREMENTAL,
    "delete_flag": {"merge"},
    "key_comparison": _INCREMENTAL,
    "partitions": ("partition",),
}
_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_SHARE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")
_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*$", re.IGNORECASE)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A schema in which what may be left out is not `this or null`.

        A validator says of the latter only that no choice fits, not which choices there are.
        """
        schema = handler(core_schema)
        for described in handler.resolve_ref_schema(schema).get("properties", {}).values():
            choices = [one for one in described.get("anyOf", ()) if one != {"type": "null"}]
            if len(choices) == 1:
                del described["anyOf"]
                described |= choices[0]
        return schema


class ColumnSettings(_Settings):
    """Which columns are moved, and what happens to them on the way."""

    include: list[str] | None = Field(
        default=None, description="Columns to move, in this order; all of them by default."
    )
    exclude: list[str] = Field(default=[], description="Columns to leave out.")
    rename: dict[str, str] = Field(
        default={}, description="Names in the target, by name in the source."
    )
    cast: dict[str, str] = Field(
        default={},
        description="Types of the source to read columns as, by column: {Place: nvarchar(max)}.",
    )
    mask: dict[str, Literal["hash", "redact"]] = Field(
        default={},
        description="Columns whose values must not arrive: `hash` gives equal values equal digests "
        "(HMAC-SHA-256 under the key in TRANSHIP_MASK_KEY), `redact` leaves nothing of them.",
    )

    def leaves_out(self, column: str) -> bool:
        """Whether a column does not get to the target.

        Example:
            >>> ColumnSettings(include=["Id"]).leaves_out("Name")
            True
        """
        return column in self.exclude or (self.include is not None and column not in self.include)


class PartitionSettings(_Settings):
    """How a table is cut into partitions, of which each run replaces those it was asked for."""

    column: str = Field(description="The source's column that decides a row's partition.")
    every: Literal["hour", "day", "week", "month"] | None = Field(
        default=None, description="Partitions by time; needs `start`."
    )
    start: str | None = Field(default=None, description="First partition by time: 2024-01-01.")
    timezone: str = Field(default="UTC", description="Zone whose days and months they are.")
    column_timezone: str = Field(
        default="UTC", description="Zone of the column's clock, where it has none of its own."
    )
    values: list[Scalar] | None = Field(
        default=None, description="One partition for each of these values."
    )
    ranges: dict[str, list[Any]] | None = Field(
        default=None,
        description="Key ranges by partition name: {old: [null, 1000], new: [1000, null]}; the "
        "first value that belongs and the first that no longer does.",
    )


class DeleteFlagSettings(_Settings):
    """How a source marks rows as deleted, instead of deleting them."""

    column: str = Field(description="The source's column; it need not be moved.")
    value: Scalar | None = Field(
        default=None,
        description="Its value in deleted rows: 1. By default any value that is not null, such as the time of the deletion.",
    )


class HistorySettings(_Settings):
    """Every state that a row had, in a table of versions beside the copy or in its place, and what that is called."""

    table: str = Field(
        default="{table}_history",
        description="Its name, in the schema of the copy; {table} stands for the copy's.",
    )
    valid_from: str = Field(
        default="valid_from", description="Column with the time from which a version holds."
    )
    valid_to: str = Field(
        default="valid_to",
        description="Column with the time up to which it held, which is the next one's first; null while it holds.",
    )
    is_current: str = Field(
        default="is_current", description="Column that says whether a version holds."
    )
    instead_of_copy: bool = Field(
        default=False,
        description="Keep no copy beside it: the copy's name is a view of the versions that hold.",
    )


class CheckSettings(_Settings):
    """What is checked after each load, and on its own when asked for."""

    row_count: bool = Field(
        default=True,
        description="As many rows as the source had, and with a cursor the same highest value.",
    )
    columns: bool | list[str] = Field(
        default=False,
        description="Non-null counts, sums, least and greatest values of these columns (or of all) "
        "equal the source's.",
    )
    recent_rows: bool = Field(
        default=True,
        description="The keys and cursor values of the rows right behind the bookmark (7 days, or 100,000 numbers) "
        "add up to the source's, so that rows which came late or were changed there are found.",
    )
    unique_key: bool = Field(default=True, description="No key twice; for tables that have a key.")
    history: bool = Field(
        default=True,
        description="As many versions hold as the copy has rows, of the same keys, and none overlap; for tables that have a "
        "history.",
    )
    schema_drift: bool = Field(
        default=True,
        description="The target's columns are those that the source has now; a warning, not an error.",
    )
    change_record: bool = Field(
        default=True,
        description="For tables that follow a record of changes: the last load had all changes since the one before, and loads follow "
        "each other within half of the time that the source keeps changes for; warnings, not errors.",
    )
    blocking: bool = Field(
        default=False, description="A failed check keeps what is downstream from running."
    )


class Tuning(_Settings):
    """Settings of a table that also stand under `defaults`."""

    target: str | None = Field(
        default=None,
        description="Name in the target. {schema} and {table} stand for the source's, so that tables which "
        'share an entry have names of their own: "{schema}_{table}". By default the table\'s name, after its '
        "schema's unless that is dbo.",
    )
    names: Literal["keep", "snake", "lower"] | None = Field(
        default=None,
        description="How names that are made of the source's are written in the target: keep (default, as they "
        "are), snake (fact_internet_sales), or lower.",
    )
    mode: Literal["replace", "append", "merge", "partition"] | None = Field(
        default=None,
        description="replace: the whole table each time (default). append: rows beyond the bookmark; "
        "they are never changed in the source. merge: new and changed rows by key, beyond the bookmark "
        "where there is a cursor. partition: the partitions a run was asked for.",
    )
    key: list[str] | None = Field(
        default=None,
        description="Columns that identify a row; by default the source's primary key.",
    )
    cursor: str | None = Field(
        default=None,
        description="Column that grows with every new (append) or changed (merge) row: a date, a "
        "time, a number, or a rowversion.",
    )
    lookback: int | str | None = Field(
        default=None,
        description="How far before the bookmark a load starts, for rows that were committed late: a "
        "span such as `2 hours` for times, a number for numbers and rowversions. By default 1000 for "
        "numbers, 10 minutes for times with an offset, an hour more for those without (a wall clock shows "
        "an hour of autumn twice), and a day for dates.",
    )
    late_rows: Literal["read", "ignore"] | None = Field(
        default=None,
        description="Rows that are committed with a value below the bookmark: read (default; the lookback is "
        "read again), or ignore (there is no lookback, unless one is given).",
    )
    on_cursor_back: Literal["reload", "warn", "fail"] | None = Field(
        default=None,
        description="When the source's highest cursor value is below the bookmark: reload (default with a key; "
        "all rows are read again, and rows that are gone stay; without a key they replace the copy), warn (go "
        "on from the bookmark), or fail (default without a key).",
    )
    changes: Literal["cursor", "tracking", "cdc", "auto"] | None = Field(
        default=None,
        description="How mode merge knows what changed: cursor (default; without one all rows are read), tracking or cdc (SQL "
        "Server's Change Tracking or Change Data Capture, which tell of deletions too), or auto (each load chooses: tracking "
        "where it can be read, else a rowversion, else the cursor, and says why).",
    )
    on_gap: Literal["reload", "fail"] | None = Field(
        default=None,
        description="When the source's record of changes does not reach back to the last load (it was cleaned up, or begun "
        "anew): reload (default: the whole table, said in words), or fail.",
    )
    columns: ColumnSettings | None = Field(default=None, description="Which columns, and how.")
    where: str | None = Field(
        default=None,
        description="A condition on the source's rows, in its own SQL. It goes into the statement as it is.",
    )
    partitions: PartitionSettings | None = Field(default=None, description="For mode partition.")
    parallel: int | None = Field(
        default=None,
        description="Connections to read the table over at once; 1 by default.",
    )
    chunk_rows: int | None = Field(
        default=None,
        description="A first load of more rows is committed in chunks of this many, and goes on where it "
        "was stopped; 5,000,000 by default.",
    )
    chunk_column: str | None = Field(
        default=None,
        description="Column to cut chunks by, which never changes; by default the first key column, "
        "where it is a number or a time.",
    )
    on_schema_change: Literal["error", "evolve", "rebuild"] | None = Field(
        default=None,
        description="When columns differ from the target's: error (default); evolve (add columns and fill "
        "them, widen types, let columns be null, follow the key; what the source has no more stays); or "
        "rebuild (where evolve does not do, load all of it into a table made anew, with its grants).",
    )
    on_new_source: Literal["reload", "fail"] | None = Field(
        default=None,
        description="When the source is another one than that of the last load (another server or database behind the "
        "same name, a restored backup, a table that was created anew): reload (default: the whole table, said in "
        "words), or fail.",
    )
    delete: Literal["ignore", "mark", "remove"] | None = Field(
        default=None,
        description="Rows that are gone from the source: ignore (default), mark (set _deleted_at), or "
        "remove. Found by comparing all keys after each load of mode merge or append.",
    )
    delete_flag: DeleteFlagSettings | None = Field(
        default=None,
        description="How the source marks rows as deleted, instead of deleting them: {column: IsDeleted, value: 1}. Such rows are "
        "gone for delete: mark or remove, and one whose mark is taken back is there again. For mode merge.",
    )
    history: bool | HistorySettings | None = Field(
        default=None,
        description="Whether every state that a row had is kept in a table of versions beside the copy (SCD2), by key; or "
        "what that table and its columns are called: {table: customer_versions}.",
    )
    masked: Literal["refuse", "accept"] | None = Field(
        default=None,
        description="What happens to columns that the source masks for its login (dynamic data masking): refuse "
        "them, or accept the masks as values. refuse by default.",
    )
    delete_guard: str | None = Field(
        default=None,
        description="The most of the copy that one load may mark or remove, and beyond which it stops: 20% by "
        "default; five rows are always let go, and all of them never, unless the run allows it.",
    )
    on_nul: Literal["error", "strip"] | None = Field(
        default=None,
        description="Texts that hold U+0000, which no target takes: error (default), or strip.",
    )
    key_comparison: Literal["source", "bytes"] | None = Field(
        default=None,
        description="By what rows of mode merge or append are told apart: by what the source takes for the same "
        "key (default), which is its collation's affair, or by bytes, for keys that are never spelled in another way.",
    )
    on_surrogate: Literal["error", "replace"] | None = Field(
        default=None,
        description="Texts that hold half of a UTF-16 pair, which is no character: error (default), or replace "
        "(U+FFFD takes its place).",
    )
    schedule: str | None = Field(
        default=None, description="Cron expression, or @hourly, @daily, @weekly, @monthly."
    )
    timezone: str | None = Field(default=None, description="Zone of the schedule; UTC by default.")
    pool: str | None = Field(
        default=None,
        description="Concurrency pool of the load; by default one per source, so that the source is "
        "protected however many tables there are.",
    )
    retries: int | None = Field(
        default=None,
        description="How often a load is tried again for faults that pass, with growing pauses: "
        "30 s, then 1.5, 3.5, 7.5 and 15.5 minutes. 5 by default, 28 minutes in all.",
    )
    retry_for: str | None = Field(
        default=None,
        description="How long after its first fault a load may be tried again, by whatever repeats it: "
        "45 minutes. 30 minutes by default.",
    )
    group: str | None = Field(default=None, description="Group of the asset in the UI.")
    owners: list[str] | None = Field(default=None, description="E-mail addresses, or team:name.")
    tags: dict[str, str] | None = Field(default=None, description="Tags of the asset.")
    freshness: str | None = Field(
        default=None, description="The oldest the copy may get before it counts as stale: 26 hours."
    )
    checks: CheckSettings | None = Field(default=None, description="What is checked.")


class TableSettings(Tuning):
    """One table of the source, or all that match a pattern."""

    table: str = Field(
        description="schema.table, or a pattern: dbo.Dim*. An entry without a pattern wins over patterns."
    )
    exclude: list[str] = Field(
        default=[], description="Tables or patterns to leave out of a pattern."
    )
    description: str | None = Field(
        default=None, description="What the table means to the business; the UI shows it."
    )
    deps: list[str] = Field(
        default=[],
        description="Assets that the source's rows come from, by key: [staging/dim_product]. A run that has both loads "
        "them first.",
    )


def merged(defaults: Tuning, table: TableSettings) -> TableSettings:
    """A table's settings, with the defaults where it says nothing itself.

    A default that a table's mode has no use for is none for that table.

    Example:
        >>> merged(Tuning(mode="merge"), TableSettings(table="dbo.A")).mode
        'merge'
    """
    general = {name: value for name, value in defaults if value is not None}
    own = {name: value for name, value in table if value is not None}
    mode = own.get("mode", general.get("mode", "replace"))
    for name, modes in _ONLY_FOR.items():
        if mode not in modes:
            general.pop(name, None)
    for name in _not_beside(own, general):
        general.pop(name, None)
    if mode == "partition" and general.get("on_schema_change") == "rebuild":
        general["on_schema_change"] = "evolve"  # what a table of parts can do of it
    return TableSettings(**{**general, **own})


def _not_beside(own: Mapping[str, Any], general: Mapping[str, Any]) -> tuple[str, ...]:
    """The defaults about a cursor for a table that follows a record of changes, and the other way round."""
    if own.get("changes", general.get("changes")) == "auto":
        return ()
    followed = own.get("changes", "cursor" if "cursor" in own else general.get("changes"))
    if followed in {"tracking", "cdc"}:
        return ("cursor", "lookback", "late_rows", "on_cursor_back")
    return ("changes", "on_gap")


def check_lookback(lookback: int | str, setting: str) -> None:
    """Refuse what is a lookback of no cursor: neither a number nor a span of time.

    Raises:
        ConfigurationError: It is none.

    Example:
        >>> check_lookback("2 hours", "lookback")
    """
    if not str(lookback).strip().isdigit():
        parse_duration(str(lookback), setting)


def parse_duration(text: str, setting: str) -> timedelta:
    """Read a span of time.

    Args:
        text: A number and a unit: seconds, minutes, hours, days or weeks.
        setting: What it was given for, for the message.

    Raises:
        ConfigurationError: It is no span of time.

    Example:
        >>> parse_duration("36 hours", "freshness")
        datetime.timedelta(days=1, seconds=43200)
    """
    match = _SPAN.match(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ConfigurationError(
            f"{setting} is {text!r}, which is no span of time.",
            f"Write a number and a unit ({', '.join(f'{name}s' for name in _UNITS)}): 36 hours.",
        )
    return float(match[1]) * unit


def span_in_words(span: timedelta) -> str:
    """A span of time as people say it.

    Example:
        >>> span_in_words(timedelta(hours=36)), span_in_words(timedelta(days=2)), span_in_words(timedelta(seconds=1))
        ('1.5 days', '2 days', '1 second')
    """
    unit = max(
        (unit for unit in _UNITS if _UNITS[unit] <= span and unit != "week"),
        key=_UNITS.__getitem__,
        default="second",
    )
    count = f"{span / _UNITS[unit]:.1f}".removesuffix(".0")
    return f"{count} {unit}{'' if count == '1' else 's'}"


def parse_share(text: str, setting: str) -> Decimal:
    """Read a share of a whole.

    Args:
        text: Percent, with the sign.
        setting: What it was given for, for the message.

    Raises:
        ConfigurationError: It is none from 0% to 100%.

    Example:
        >>> parse_share("2.5%", "delete_guard")
        Decimal('2.5')
    """
    match = _SHARE.match(text)
    if match is None or Decimal(match[1]) > 100:
        raise ConfigurationError(
            f"{setting} is {text!r}, which is no share of a whole.", "Write 0% to 100%: 20%."
        )
    return Decimal(match[1])
