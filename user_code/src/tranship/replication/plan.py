"""What a table's settings come to: one immutable plan, checked for contradictions before anything runs."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from tranship.change_feeds import RecordKind
from tranship.delete_flags import DeleteFlag
from tranship.errors import ConfigurationError
from tranship.history import HistoryNames
from tranship.names import NameStyle, styled
from tranship.reads import MAX_PARTS, OnNul, OnSurrogate
from tranship.replication.config import (
    ColumnSettings,
    HistorySettings,
    PartitionSettings,
    TableSettings,
    Tuning,
    check_lookback,
    parse_share,
)
from tranship.source import SourceRequest
from tranship.tables import TableName
from tranship.visibility import OnMasked
from tranship.writes import OnSchemaChange

DEFAULT_SCHEMA = "dbo"
"""Of a source that says nothing else: SQL Server's."""
CHUNK_ROWS = 5_000_000
DELETE_GUARD = "20%"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Mode(StrEnum):
    """How a table is kept up to date."""

    REPLACE = "replace"
    """The whole table each time."""
    APPEND = "append"
    """Rows beyond the bookmark."""
    MERGE = "merge"
    """New and changed rows, by key."""
    PARTITION = "partition"
    """The partitions a run was asked for."""


class OnDelete(StrEnum):
    """What happens to rows that are gone from the source."""

    IGNORE = "ignore"
    MARK = "mark"
    REMOVE = "remove"


class OnNewSource(StrEnum):
    """What happens where the source is another one than that of the last load."""

    RELOAD = "reload"
    FAIL = "fail"


class KeyComparison(StrEnum):
    """By what rows are told apart."""

    SOURCE = "source"
    """By what the source takes for one key: its collation's case, accents, width, kana and trailing blanks."""
    BYTES = "bytes"
    """By the key's bytes: right only where no key is ever spelled in another way."""


class LateRows(StrEnum):
    """What happens to rows that are committed with a value below the bookmark."""

    READ = "read"
    """The lookback is read again."""
    IGNORE = "ignore"
    """They are lost, unless a lookback is given."""


class OnCursorBack(StrEnum):
    """What happens where the source's highest value is below the bookmark."""

    RELOAD = "reload"
    """Everything is read again: by key, else in the place of the copy."""
    WARN = "warn"
    """The load goes on from the bookmark and says so."""
    FAIL = "fail"


class FollowedChanges(StrEnum):
    """How a load of mode merge knows what changed."""

    CURSOR = "cursor"
    """By the cursor; without one all rows are read."""
    TRACKING = "tracking"
    """By SQL Server's Change Tracking."""
    AUTO = "auto"
    """By the best way that there is when the load begins."""
    CAPTURE = "cdc"
    """By SQL Server's Change Data Capture."""

    @property
    def record(self) -> RecordKind | None:
        """The source's record of changes that is followed; `None` where a cursor is, or a load chooses."""
        records = {
            FollowedChanges.TRACKING: RecordKind.TRACKING,
            FollowedChanges.CAPTURE: RecordKind.CAPTURE,
        }
        return records.get(self)


class OnGap(StrEnum):
    """What happens where the source's record of changes does not reach back to the last load."""

    RELOAD = "reload"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """How one table is moved; see `tranship.replication.config.Tuning` for what each setting means.

    Args:
        source: The table in SQL Server.
        target: The table it is copied to.
        mode: How it is kept up to date.
        key: The columns that identify a row, where the user named them.
        cursor: The column that bookmarks are made of.
        lookback: How far before the bookmark a load starts: a number, a span, or the default.
        late_rows: What happens to rows that are committed with a value below the bookmark.
        on_cursor_back: What happens where the source's highest value is below the bookmark; by default
            `reload` for tables with a key and `fail` for those without.
        columns: Which columns, and how.
        where: A condition on the source's rows, in T-SQL.
        delete_flag: How the source marks rows as deleted; `None` where it deletes them.
        partitions: How it is partitioned, for mode `partition`.
        parallel: Connections to read over at once.
        chunk_rows: Rows per commit of a large first load.
        chunk_column: The column to cut chunks by.
        on_schema_change: What happens when columns differ from the target's.
        delete: What happens to rows that are gone from the source.
        delete_guard: The share of the copy that may go at once.
        on_nul: What happens to texts that hold U+0000.
        masked: What happens to columns that the source masks for its login.
        on_surrogate: What happens to texts that hold half of a UTF-16 pair.
        on_new_source: What happens where the source is another one than that of the last load.
        key_comparison: By what rows are told apart.
        changes: How a load of mode merge knows what changed.
        on_gap: What happens where the source's record of changes does not reach back to the last load.
        history: What the table's history is called, where one is kept.

    Raises:
        ConfigurationError: The settings contradict each other.

    Example:
        >>> TablePlan(TableName("dbo", "A"), TableName("staging", "A")).mode
        <Mode.REPLACE: 'replace'>
    """

    source: TableName
    target: TableName
    mode: Mode = Mode.REPLACE
    key: tuple[str, ...] = ()
    cursor: str | None = None
    lookback: int | str | None = None
    late_rows: LateRows = LateRows.READ
    on_cursor_back: OnCursorBack | None = None
    columns: ColumnSettings = field(default_factory=ColumnSettings)
    where: str | None = None
    delete_flag: DeleteFlag | None = None
    partitions: PartitionSettings | None = None
    parallel: int = 1
    chunk_rows: int = CHUNK_ROWS
    chunk_column: str | None = None
    on_schema_change: OnSchemaChange = OnSchemaChange.ERROR
    delete: OnDelete = OnDelete.IGNORE
    delete_guard: str = DELETE_GUARD
    on_nul: OnNul = OnNul.ERROR
    masked: OnMasked = OnMasked.REFUSE
    on_surrogate: OnSurrogate = OnSurrogate.ERROR
    on_new_source: OnNewSource = OnNewSource.RELOAD
    key_comparison: KeyComparison = KeyComparison.SOURCE
    changes: FollowedChanges = FollowedChanges.CURSOR
    on_gap: OnGap = OnGap.RELOAD
    history: HistoryNames | None = None

    def __post_init__(self) -> None:
        refuse = _Refusals(self.source)
        refuse.unless(
            1 <= self.parallel <= MAX_PARTS,
            f"parallel is {self.parallel}",
            f"Give 1 to {MAX_PARTS}: each is a connection.",
        )
        refuse.unless(self.chunk_rows >= 1, f"chunk_rows is {self.chunk_rows}", "Give 1 or more.")
        self._check_mode(refuse)
        parse_share(self.delete_guard, f"delete_guard of {self.source}")
        self._check_cursor(refuse)
        self._check_changes(refuse)
        self._check_columns(refuse)
        self._check_history(refuse)

    def _check_mode(self, refuse: "_Refusals") -> None:
        """What goes with the mode, and what does not."""
        replaces = self.mode in {Mode.REPLACE, Mode.PARTITION}
        refuse.unless(
            self.cursor or self.mode is not Mode.APPEND,
            "mode append needs a cursor",
            "Name the column that grows.",
        )
        refuse.unless(
            (self.mode is Mode.PARTITION) == (self.partitions is not None),
            "mode partition and partitions go together, and only one of them is set",
            "Set both, or neither.",
        )
        refuse.unless(
            not (self.cursor and replaces),
            f"mode {self.mode} has no use for the cursor {self.cursor}",
            "Set mode to merge or append, or leave the cursor out.",
        )
        refuse.unless(
            self.delete is OnDelete.IGNORE or not replaces,
            f"mode {self.mode} keeps no rows that are gone from the source, so delete does nothing",
            "Leave delete out.",
        )
        flags = self.delete_flag is not None
        refuse.unless(
            not flags or (self.mode is Mode.MERGE and self.delete is not OnDelete.IGNORE),
            "delete_flag says which rows are gone, and nothing is done with those"
            if self.mode is Mode.MERGE
            else f"delete_flag is about rows that change, and mode {self.mode} brings no changes",
            "Set mode to merge, and delete to mark or remove.",
        )
        refuse.unless(
            self.on_schema_change is not OnSchemaChange.REBUILD or self.mode is not Mode.PARTITION,
            "on_schema_change rebuild makes the whole table anew, and mode partition replaces parts of it",
            "Set on_schema_change to evolve.",
        )

    def _check_cursor(self, refuse: "_Refusals") -> None:
        """What is about the cursor needs one."""
        for name, given in (
            ("lookback", self.lookback is not None),
            ("late_rows", self.late_rows is not LateRows.READ),
            ("on_cursor_back", self.on_cursor_back is not None),
        ):
            refuse.unless(
                self.cursor or not given,
                f"{name} needs a cursor",
                f"Name the cursor, or leave {name} out.",
            )
        if self.lookback is not None:
            check_lookback(self.lookback, f"The lookback of {self.source}")

    def _check_columns(self, refuse: "_Refusals") -> None:
        """What other settings need of the columns arrives; a run would only find it out when it has read the source."""
        columns = self.columns
        both = [name for name in columns.include or () if name in columns.exclude]
        refuse.unless(
            not both,
            f"{', '.join(both)} is both in include and in exclude",
            "Leave it out of one of them.",
        )
        # Equal digests stand for equal keys; the order of values is lost in them.
        told_apart = [(name, "part of the key", {"redact"}) for name in self.key]
        ordered = [
            (name, role, {"redact", "hash", "cast"})
            for name, role in (
                (self.partitions and self.partitions.column, "what the table is partitioned by"),
                (self.chunk_column, "what chunks are cut by"),
            )
            if name
        ]
        for name, role, unfit in (*told_apart, *ordered):
            refuse.unless(
                not columns.leaves_out(name),
                f'"{name}" is left out, but it is {role}',
                "Move it too, or choose another column.",
            )
            how = {columns.mask.get(name, ""), "cast" if name in columns.cast else ""} & unfit
            refuse.unless(
                not how,
                f'"{name}" does not arrive as it is ({", ".join(sorted(how))}), but it is {role}',
                "Move it as it is, or choose another column.",
            )

    def _check_changes(self, refuse: "_Refusals") -> None:
        """A record of changes is followed instead of a cursor, and by key."""
        tracks = self.changes.record is not None
        may_track = self.changes is not FollowedChanges.CURSOR
        refuse.unless(
            self.mode is Mode.MERGE or not may_track,
            f"changes {self.changes} brings changed rows by key, and the mode is {self.mode}",
            "Set mode to merge.",
        )
        refuse.unless(
            not (tracks and self.cursor),
            f"changes {self.changes} has no use for the cursor {self.cursor}",
            "Leave one of them out.",
        )
        refuse.unless(
            may_track or self.on_gap is OnGap.RELOAD,
            "on_gap is about a record of changes, and none is followed",
            "Set changes to tracking, cdc or auto, or leave on_gap out.",
        )

    def _check_history(self, refuse: "_Refusals") -> None:
        """A history is a table of its own, and its columns are three."""
        if self.history is None:
            return
        refuse.unless(
            self.history.table != self.target,
            f"its history would be {self.target}, as its copy is",
            "Give the history another name: history: {table: ...}.",
        )
        refuse.unless(
            not self.history.instead_of_copy or self.delete is not OnDelete.MARK,
            "delete mark marks rows of the copy, and the history is to stand in its place",
            "Set delete to remove, which ends their versions.",
        )
        folded = {name.lower() for name in self.history.columns}
        refuse.unless(
            len(folded) == len(self.history.columns),
            f"the columns of its history would be called {', '.join(self.history.columns)}",
            "Give each a name of its own.",
        )

    @property
    def source_request(self) -> SourceRequest:
        """What its source is asked for."""
        return SourceRequest(
            table=self.source,
            key=self.key,
            where=self.where,
            delete_flag=self.delete_flag,
            cast=self.columns.cast,
            on_nul=self.on_nul,
            on_surrogate=self.on_surrogate,
            masked=self.masked,
            parallel=self.parallel,
        )

    @property
    def may_follow_a_record(self) -> bool:
        """Whether a load may know by the source's record of changes what is new."""
        return self.changes is not FollowedChanges.CURSOR

    @property
    def may_follow_a_cursor(self) -> bool:
        """Whether a load may know by a cursor what is new."""
        return self.is_incremental and (
            self.cursor is not None or self.changes is FollowedChanges.AUTO
        )

    @property
    def is_incremental(self) -> bool:
        """Whether a load depends on what earlier ones did."""
        return self.mode in {Mode.APPEND, Mode.MERGE}


@dataclass(frozen=True, slots=True)
class _Refusals:
    table: TableName

    def unless(self, holds: object, what: str, remedy: str) -> None:
        if not holds:
            raise ConfigurationError(
                f"The settings of {self.table} cannot be used: {what}.", remedy
            )


def table_plan(
    settings: TableSettings,
    source: TableName,
    target_schema: str,
    default_schema: str = DEFAULT_SCHEMA,
) -> TablePlan:
    """The plan for one table, of settings that have the defaults in them.

    Args:
        settings: The settings.
        source: The table.
        target_schema: Schema of the copies.
        default_schema: The source's schema that copies are not named after.

    Raises:
        ConfigurationError: The settings contradict each other.
    """
    target = TableName(target_schema, target_name(settings, source, default_schema))
    return TablePlan(
        source=source,
        target=target,
        mode=Mode(settings.mode or Mode.REPLACE),
        key=tuple(settings.key or ()),
        cursor=settings.cursor,
        lookback=settings.lookback,
        late_rows=LateRows(settings.late_rows or LateRows.READ),
        on_cursor_back=OnCursorBack(settings.on_cursor_back) if settings.on_cursor_back else None,
        columns=settings.columns or ColumnSettings(),
        where=settings.where,
        delete_flag=_delete_flag(settings),
        partitions=settings.partitions,
        parallel=1 if settings.parallel is None else settings.parallel,
        chunk_rows=CHUNK_ROWS if settings.chunk_rows is None else settings.chunk_rows,
        chunk_column=settings.chunk_column,
        on_schema_change=OnSchemaChange(settings.on_schema_change or OnSchemaChange.ERROR),
        delete=OnDelete(settings.delete or OnDelete.IGNORE),
        delete_guard=settings.delete_guard or DELETE_GUARD,
        on_nul=OnNul(settings.on_nul or OnNul.ERROR),
        masked=OnMasked(settings.masked or OnMasked.REFUSE),
        on_surrogate=OnSurrogate(settings.on_surrogate or OnSurrogate.ERROR),
        on_new_source=OnNewSource(settings.on_new_source or OnNewSource.RELOAD),
        key_comparison=KeyComparison(settings.key_comparison or KeyComparison.SOURCE),
        changes=FollowedChanges(settings.changes or FollowedChanges.CURSOR),
        on_gap=OnGap(settings.on_gap or OnGap.RELOAD),
        history=history_names(settings.history, target),
    )


def history_names(settings: bool | HistorySettings | None, copy: TableName) -> HistoryNames | None:
    """What a table's history is called, by its settings; `None` where none is kept.

    Raises:
        ConfigurationError: Its name has a placeholder that is none.

    Example:
        >>> str(history_names(True, TableName("staging", "Customer")).table)
        'staging.Customer_history'
    """
    if settings is None or settings is False:
        return None
    given = HistorySettings() if settings is True else settings
    unknown = set(_PLACEHOLDER.findall(given.table)) - {"table"}
    if unknown or not given.table:
        listed = ", ".join(sorted(f"{{{name}}}" for name in unknown)) or "nothing"
        raise ConfigurationError(
            f"The history of {copy} is to be called {given.table!r}, which has {listed}.",
            "Write a name; {table} stands for the copy's.",
        )
    name = _PLACEHOLDER.sub(lambda _: copy.name, given.table)
    return HistoryNames(
        TableName(copy.schema, name),
        given.valid_from,
        given.valid_to,
        given.is_current,
        given.instead_of_copy,
    )


def _delete_flag(settings: TableSettings) -> DeleteFlag | None:
    flag = settings.delete_flag
    return None if flag is None else DeleteFlag(flag.column, flag.value)


def target_name(settings: Tuning, source: TableName, default_schema: str = DEFAULT_SCHEMA) -> str:
    """What a table is called in the target, by its settings.

    Raises:
        ConfigurationError: `target` has a placeholder that is none, or leaves nothing of the name.

    Example:
        >>> target_name(Tuning(names="snake"), TableName("sales", "OrderLines"))
        'sales_order_lines'
        >>> target_name(Tuning(target="{schema}__{table}"), TableName("dbo", "A"))
        'dbo__A'
    """
    template = settings.target
    unknown = set(_PLACEHOLDER.findall(template or "")) - {"schema", "table"}
    if unknown:
        listed = ", ".join(sorted(f"{{{name}}}" for name in unknown))
        raise ConfigurationError(
            f"The target {template!r} of {source} has {listed}, which stands for nothing.",
            "Use {schema} and {table}.",
        )
    if template and not _PLACEHOLDER.search(template):
        return template
    style = NameStyle(settings.names or NameStyle.KEEP)
    if not template:
        return styled(default_target(source, default_schema), style)
    parts = {"schema": source.schema, "table": source.name}
    return styled(_PLACEHOLDER.sub(lambda placeholder: parts[placeholder[1]], template), style)


def default_target(source: TableName, default_schema: str = DEFAULT_SCHEMA) -> str:
    """What a table is called in the target: its own name, with its schema unless that is the source's default one."""
    return source.name if source.schema == default_schema else f"{source.schema}_{source.name}"
