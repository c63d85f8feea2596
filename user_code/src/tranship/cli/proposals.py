"""Asks a source for its tables and proposes how to keep a copy of each up to date, from what the catalogue says. Reads no rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count

from tranship.cli.heuristics import (
    LARGE_ROWS,
    SMALL_ROWS,
    VERY_LARGE_ROWS,
    looks_personal,
    says_changed,
    says_made,
)
from tranship.cursors import Kind, has_zone, kind_of
from tranship.errors import TableNotFoundError
from tranship.replication.plan import DEFAULT_SCHEMA, Mode, default_target
from tranship.systems import Catalogue, ChangeRecord, SourceTable
from tranship.tables import Column, TableName

ALL = ("*.*",)
_SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that a load could follow.

    Args:
        column: The column.
        what: What it is: `rowversion`, `changed`, `made` or `identity`.
    """

    column: Column
    what: str

    def __str__(self) -> str:
        return f"{self.column.name} ({self.what})"


@dataclass(frozen=True, slots=True)
class Proposal:
    """How a table might be kept up to date.

    Args:
        table: What the catalogue says of it.
        size_bytes: What it takes on the server; `None` where that is unknown.
        mode: The mode.
        reason: Why.
        key: The columns that identify a row; empty where none do.
        cursor: The column to follow, for modes `append` and `merge`.
        candidates: All columns that could be followed, the best first.
        caveats: What a person should know before trusting it.
        cast: Types to read columns as that cannot be moved as they are.
        exclude: Columns that cannot be moved at all.
        personal: Columns whose names look like something about a person.
        partition_column: A column to partition a very large table by.
        follows_record: Whether the source's own record of changes is followed.
        offered: Statements with which the source would record its changes, where that is worth having.
    """

    table: SourceTable
    size_bytes: int | None
    mode: Mode
    reason: str
    key: tuple[str, ...]
    cursor: str | None = None
    candidates: tuple[Candidate, ...] = ()
    caveats: tuple[str, ...] = ()
    cast: tuple[tuple[str, str], ...] = ()
    exclude: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    partition_column: str | None = None
    follows_record: bool = False
    offered: tuple[str, ...] = ()


def propose(
    table: SourceTable, size_bytes: int | None = None, *, small_rows: int = SMALL_ROWS
) -> Proposal:
    """How a table might be kept up to date.

    Args:
        table: What the catalogue says of it.
        size_bytes: What it takes on the server, if known.
        small_rows: Tables of so many rows or fewer are copied whole.

    Example:
        >>> from tranship.tables import TableName, TableSchema
        >>> nothing = SourceTable(TableName("dbo", "Log"), TableSchema(()), estimated_rows=5)
        >>> propose(nothing).mode
        <Mode.REPLACE: 'replace'>
    """
    unmovable = [column for column in table.schema.columns if _is_unmovable(column)]
    cast = tuple(
        (column.name, table.readable_as[column.name])
        for column in unmovable
        if column.name in table.readable_as
    )
    exclude = tuple(column.name for column in unmovable if column.name not in table.readable_as)
    declared = table.schema.primary_key
    key = () if set(declared) & set(exclude) else declared
    candidates = _candidates(table, key)
    # Keys that are read as another type are not those of a record of changes.
    recorded_key = () if set(key) & set(dict(cast)) else key
    choice = _followed_record(table, recorded_key) or _choice(table, key, candidates, small_rows)
    clock = _wall_clock(table, choice.cursor)
    offered, of_record = _unrecorded(table.change_record, choice)
    cursors = {candidate.column.name for candidate in candidates}
    return Proposal(
        table=table,
        size_bytes=size_bytes,
        mode=choice.mode,
        reason=choice.reason,
        key=key,
        cursor=choice.cursor,
        candidates=candidates,
        caveats=(*choice.caveats, *clock, *of_record),
        cast=cast,
        exclude=exclude,
        personal=tuple(
            column.name
            for column in table.schema.columns
            if column.name not in cursors and _looks_personal(column)
        ),
        partition_column=_partition_column(table, candidates),
        follows_record=choice.follows_record,
        offered=offered,
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    mode: Mode
    reason: str
    cursor: str | None = None
    caveats: tuple[str, ...] = ()
    is_small: bool = False
    follows_record: bool = False


def _followed_record(table: SourceTable, key: tuple[str, ...]) -> _Choice | None:
    """Following what the source itself records, where it does and rows can be told apart by its key."""
    record = table.change_record
    if record is None or not record.is_readable or not key:
        return None
    reason = "the source itself records what changes, deletions too"
    return _Choice(Mode.MERGE, reason, follows_record=True)


def _unrecorded(
    record: ChangeRecord | None, choice: _Choice
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What would have to run so that a table's changes are recorded, and what to say of it; nothing of a small table."""
    if record is None or choice.is_small or choice.follows_record:
        return (), ()
    if record.refusal is not None:
        return (), (record.refusal,)
    if not record.statements:
        return (), ()
    said = (
        "The source does not record its changes yet. If it did, changes: tracking would read changed rows alone and see deletions: "
        "`tranship init` prints the statements."
    )
    return record.statements, (said,)


def _choice(
    table: SourceTable, key: tuple[str, ...], candidates: tuple[Candidate, ...], small_rows: int
) -> _Choice:
    rows = table.estimated_rows
    if not key:
        return _without_key(table, candidates)
    if rows is not None and rows <= small_rows:
        return _small(candidates)
    for candidate in candidates:
        if (choice := _followed(candidate, rows)) is not None:
            return choice
    return _read_whole(table, candidates)


def _without_key(table: SourceTable, candidates: tuple[Candidate, ...]) -> _Choice:
    movable = " whose columns can be moved" if table.schema.primary_key else ""
    caveats = ["If some columns do identify a row, name them (key: [...]) to merge by them."]
    if growing := next((one for one in candidates if one.what != "rowversion"), None):
        caveats.append(
            f"If rows are only ever added, mode append with the cursor {growing.column.name} needs no key."
        )
    return _Choice(
        Mode.REPLACE,
        f"it has no primary key{movable}, so rows cannot be told apart",
        caveats=tuple(caveats),
    )


def _small(candidates: tuple[Candidate, ...]) -> _Choice:
    return _Choice(
        Mode.REPLACE,
        "small enough to copy whole, deleted rows included",
        is_small=True,
        caveats=tuple(
            f"Should it grow: mode merge with the cursor {candidate.column.name}."
            for candidate in candidates[:1]
            if candidate.what in {"rowversion", "changed"}
        ),
    )


def _followed(candidate: Candidate, rows: int | None) -> _Choice | None:
    """What following a column means; `None` where the table is not large enough to trust it."""
    name = candidate.column.name
    missing = (
        (f"Rows without a value in {name} are read by every load.",)
        if candidate.column.nullable
        else ()
    )
    match candidate.what:
        case "rowversion":
            reason = f"the server itself moves the rowversion {name} with every change"
            return _Choice(Mode.MERGE, reason, name)
        case "changed":
            trust = (
                f"By its name, {name} is set whenever a row is changed. Make sure that every program which "
                "writes the table sets it, or that a trigger does: changes that leave it alone are never copied."
            )
            reason = f"{name} seems to say when a row was last changed"
            return _Choice(Mode.MERGE, reason, name, (trust, *missing))
        case _ if rows is not None and rows >= LARGE_ROWS:
            trust = (
                "Rows that are changed after they were copied keep their old values in the copy. If they may "
                "be changed, set mode: replace and leave the cursor out."
            )
            grows = (
                "numbers new rows"
                if candidate.what == "identity"
                else "seems to say when a row was made"
            )
            reason = f"large, {name} {grows}, and nothing tells which rows were changed"
            return _Choice(Mode.APPEND, reason, name, (trust, *missing))
        case _:
            return None


def _read_whole(table: SourceTable, candidates: tuple[Candidate, ...]) -> _Choice:
    caveats: list[str] = []
    times = [column.name for column in table.schema.columns if _is_time(column)]
    if candidates:
        caveats.append(
            f"If rows are only ever added, mode append with the cursor {candidates[0].column.name} reads the "
            "new ones alone."
        )
    elif times:
        caveats.append(
            "If rows are added and changed only while they are new, mode merge with the cursor "
            f"{' or '.join(times[:3])} and a lookback as long as they stay new (lookback: 30 days) reads those "
            "alone."
        )
    return _Choice(
        Mode.REPLACE,
        "nothing tells which rows were changed, so all of them are read",
        caveats=tuple(caveats),
    )


def _wall_clock(table: SourceTable, cursor: str | None) -> tuple[str, ...]:
    """What to know of a cursor that the server fills with a clock that goes back in autumn."""
    if cursor is None or kind_of(column := table.schema.column(cursor)) is not Kind.TIME:
        return ()
    if has_zone(column.type) or cursor not in table.local_clocks:
        return ()
    default = table.defaults.get(cursor)
    return (
        f"{cursor} is filled by {default}, without an offset: where the server's zone has summer time, an hour "
        "comes twice in autumn. Loads look back 70 minutes for it; keep any lookback of your own over an hour.",
    )


def _candidates(table: SourceTable, key: tuple[str, ...]) -> tuple[Candidate, ...]:
    """The columns that a load could follow, the most trustworthy first."""
    candidates: list[Candidate] = []
    for column in table.schema.columns:
        kind = None if _is_unmovable(column) else kind_of(column)
        if kind is Kind.ROWVERSION:
            candidates.append(Candidate(column, "rowversion"))
        elif kind in {Kind.TIME, Kind.DATE} and says_changed(column.name, table.name.name):
            candidates.append(Candidate(column, "changed"))
        elif kind in {Kind.TIME, Kind.DATE} and says_made(column.name, table.name.name):
            candidates.append(Candidate(column, "made"))
        elif kind is Kind.NUMBER and column.name in table.identity:
            candidates.append(Candidate(column, "identity"))
    order = ("rowversion", "changed", "identity", "made")
    # Of two alike, a time is finer than a date, and a value that is never missing is better.
    return tuple(
        sorted(
            candidates,
            key=lambda one: (
                order.index(one.what),
                kind_of(one.column) is Kind.DATE,
                one.column.nullable,
                one.column.name not in key,
            ),
        )
    )


def _partition_column(table: SourceTable, candidates: Iterable[Candidate]) -> str | None:
    """A date or time of a very large table; not one that moves a row to another partition when it changes."""
    if (table.estimated_rows or 0) < VERY_LARGE_ROWS:
        return None
    moving = {candidate.column.name for candidate in candidates if candidate.what == "changed"}
    dated = [
        column
        for column in table.schema.columns
        if column.name not in moving
        and not _looks_personal(column)
        and kind_of(column) in {Kind.DATE, Kind.TIME}
    ]
    best = min(dated, key=lambda column: column.nullable, default=None)
    return best.name if best else None


def _is_unmovable(column: Column) -> bool:
    return str(column.type) == "null"


def _is_time(column: Column) -> bool:
    return kind_of(column) is Kind.TIME and not _looks_personal(column)


def _type_name(column: Column) -> str:
    return column.source_type.name if column.source_type else ""


def _looks_personal(column: Column) -> bool:
    return _type_name(column) != "bit" and looks_personal(column.name)


def offered_statements(proposals: Iterable[Proposal]) -> list[str]:
    """What the source's owners have to run so that it records the changes of its tables: each once, of the database first."""
    # Those of the database are the first of each table's, and the same for all.
    return list(dict.fromkeys(chain(*(proposal.offered for proposal in proposals))))


def names_in_target(
    proposals: Iterable[Proposal], default_schema: str = DEFAULT_SCHEMA
) -> dict[TableName, str]:
    """Names for the tables that would else take another one's name in the target.

    Two may differ by case alone, or `sales.Orders` meets `dbo.sales_Orders`.

    Returns:
        The name, by the source's table.
    """
    taken: set[str] = set()
    given: dict[TableName, str] = {}
    for proposal in proposals:
        source = proposal.table.name
        name = default_target(source, default_schema)
        if name.lower() in taken:
            stem = f"{source.schema}_{source.name}".replace("]", "_")
            numbered = (f"{stem}_{number}" for number in count(2))
            name = next(one for one in chain((stem,), numbered) if one.lower() not in taken)
            given[source] = name
        taken.add(name.lower())
    return given


def written_name(table: TableName) -> str:
    """A table's name as an entry has it, in brackets where a part is not a plain word.

    Example:
        >>> written_name(TableName("dbo", "DimDate")), written_name(TableName("dbo", "Order.Details"))
        ('dbo.DimDate', '[dbo].[Order.Details]')
    """
    parts = (table.schema, table.name)
    if all(part.replace("_", "a").isalnum() for part in parts):
        return str(table)
    return ".".join("[" + part.replace("]", "]]") + "]" for part in parts)


def survey(
    catalogue: Catalogue,
    patterns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    of_the_server: Sequence[str] = (),
    small_rows: int,
) -> list[Proposal]:
    """What is proposed for each table that matches, in order of their names.

    Args:
        catalogue: The source's.
        patterns: Tables or patterns; all tables where there are none.
        exclude: Tables or patterns to leave out.
        of_the_server: What the server and its tools keep among a user's tables; left out where no tables are named.
        small_rows: Tables of so many rows or fewer are copied whole.

    Raises:
        TableNotFoundError: Nothing matches.
        ConnectionFailedError: The server cannot be reached, or refuses the login.
    """
    left_out = exclude if patterns else (*of_the_server, *exclude)
    names = catalogue.matching(patterns or ALL, exclude=left_out)
    if not names:
        raise _nothing_matches(catalogue, patterns, exclude, of_the_server)
    sizes = catalogue.sizes(names)
    return [
        propose(table, sizes.get(name), small_rows=small_rows)
        for name, table in catalogue.inspect(names).items()
    ]


def _nothing_matches(
    catalogue: Catalogue,
    patterns: Sequence[str],
    exclude: Sequence[str],
    of_the_server: Sequence[str],
) -> TableNotFoundError:
    present = [written_name(name) for name in catalogue.matching(ALL, exclude=of_the_server)]
    if not present:
        return TableNotFoundError(
            f'The database "{catalogue.database}" on {catalogue.address} has no tables that {catalogue.user} may see.',
            "Check the database's name, and grant SELECT on the tables.",
        )
    options = [f"--tables {pattern}" for pattern in patterns]
    options += [f"--exclude {pattern}" for pattern in exclude]
    shown = ", ".join(present[:_SHOWN_NAMES])
    more = f" and {len(present) - _SHOWN_NAMES} more" if len(present) > _SHOWN_NAMES else ""
    return TableNotFoundError(
        f'No table of the database "{catalogue.database}" is left by {" ".join(options)}.',
        f"It has {shown}{more}.",
    )
