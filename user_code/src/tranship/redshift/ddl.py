"""CREATE and ALTER statements of Redshift, and the physical layout of a new table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from psycopg2 import sql

from tranship.errors import ConfigurationError
from tranship.pgsql.driver import column_list, qualified
from tranship.redshift.catalogue import RedshiftTable
from tranship.redshift.identifiers import fold
from tranship.redshift.plan import ColumnPlan, LoadPlan
from tranship.tables import TableName

DISTSTYLES = ("auto", "even", "key", "all")
SORTSTYLES = ("compound", "interleaved", "auto")
ENCODINGS = (
    "az64", "bytedict", "delta", "delta32k", "lzo", "mostly8", "mostly16", "mostly32", "raw",
    "runlength", "text255", "text32k", "zstd",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How a new table is laid out over the cluster. An existing table keeps its layout.

    Args:
        diststyle: `auto`, `even`, `key` or `all`.
        distkey: The column whose value decides the node, for `key`.
        sortkey: The columns that rows are sorted by.
        sortstyle: `compound` or `interleaved`, or `auto` without columns.
        encodings: Compression encodings, by column.
        primary_key: Columns to declare as primary key. Redshift enforces none but plans with it, so
            declare only what is truly unique.

    Raises:
        ConfigurationError: The settings contradict each other, or Redshift has no such choice.

    Example:
        >>> TableLayout(distkey="CustomerKey", sortkey=("OrderDate",)).diststyle
        'key'
    """

    diststyle: str | None = None
    distkey: str | None = None
    sortkey: tuple[str, ...] = ()
    sortstyle: str | None = None
    encodings: Mapping[str, str] = field(default_factory=dict[str, str])
    primary_key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.distkey and self.diststyle is None:
            object.__setattr__(self, "diststyle", "key")
        _check("diststyle", self.diststyle, DISTSTYLES)
        _check("sortstyle", self.sortstyle, SORTSTYLES)
        for column, encoding in self.encodings.items():
            _check(f'the encoding of "{column}"', encoding.lower(), ENCODINGS)
        if (self.diststyle == "key") != bool(self.distkey):
            raise ConfigurationError(
                f"diststyle is {self.diststyle!r} and distkey is {self.distkey!r}.",
                "A distkey goes with diststyle key, and only with it.",
            )

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Self:
        """Read the layout from an asset's metadata: the same names as here.

        Example:
            >>> TableLayout.from_metadata({"sortkey": "OrderDate", "owner": "finance"}).sortkey
            ('OrderDate',)
        """
        return cls(
            diststyle=_lower(metadata.get("diststyle")),
            distkey=metadata.get("distkey"),
            sortkey=_several(metadata.get("sortkey")),
            sortstyle=_lower(metadata.get("sortstyle")),
            encodings=metadata.get("encodings") or {},
            primary_key=_several(metadata.get("primary_key")),
        )


def create_schema(schema: str) -> sql.Composed:
    """CREATE SCHEMA, for a schema that is not there: even with IF NOT EXISTS it needs a right on the database."""
    return sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))


def create_table(plan: LoadPlan, layout: TableLayout) -> sql.Composed:
    """CREATE TABLE, unless it is there.

    Args:
        plan: The columns; every width is known.
        layout: Keys and encodings.

    Raises:
        ConfigurationError: The layout names a column that the table does not have.
    """
    encodings = {
        _known(name, plan): encoding.lower() for name, encoding in layout.encodings.items()
    }
    parts: list[sql.Composable] = [
        _column(column, encodings.get(column.name)) for column in plan.columns
    ]
    if layout.primary_key:
        key = [_known(name, plan) for name in layout.primary_key]
        parts.append(sql.SQL("primary key ({})").format(column_list(key)))
    return sql.SQL("create table if not exists {} ({}){}").format(
        qualified(plan.table), sql.SQL(", ").join(parts), _attributes(plan, layout)
    )


def create_temporary(name: str, plan: LoadPlan) -> sql.Composed:
    """CREATE TEMPORARY TABLE for rows on their way into the table."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(str(column.copied)))
        for column in plan.columns
    ]
    return sql.SQL("create temporary table {} ({})").format(
        sql.Identifier(name), sql.SQL(", ").join(columns)
    )


def comments(plan: LoadPlan, comment: str | None) -> Iterator[sql.Composed]:
    """COMMENT statements for a new table and its columns."""
    if comment:
        yield sql.SQL("comment on table {} is {}").format(
            qualified(plan.table), sql.Literal(comment)
        )
    for column in plan.columns:
        if column.comment:
            yield sql.SQL("comment on column {} is {}").format(
                sql.Identifier(plan.table.schema, plan.table.name, column.name),
                sql.Literal(column.comment),
            )


def alterations(plan: LoadPlan, existing: RedshiftTable) -> Iterator[sql.Composed]:
    """ALTER statements that bring a table to the plan: new columns, wider texts.

    One ADD COLUMN for each statement, and no ALTER TYPE inside a transaction block: Redshift's rules
    (https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html).
    """
    for column in plan.columns:
        present = existing.column(column.name)
        if column.exchange is not None:
            continue  # together with the rows
        if present is None:
            yield sql.SQL("alter table {} add column {}").format(
                qualified(plan.table), _column(column, None)
            )
        elif present.type.name == column.type.name == "varchar" and (present.type.length or 0) < (
            column.type.length or 0
        ):
            yield sql.SQL("alter table {} alter column {} type {}").format(
                qualified(plan.table), sql.Identifier(column.name), sql.SQL(str(column.type))
            )


JOURNAL_COLUMNS = ("write_id", "written_at", "mode", "part", "row_count")


def create_journal(journal: TableName) -> sql.Composed:
    """CREATE TABLE for the journal of a table's writes; even with IF NOT EXISTS it needs a right on the schema."""
    return sql.SQL(
        """
        create table if not exists {} (
            write_id varchar(32) not null,
            written_at timestamp not null,
            mode varchar(16) not null,
            part varchar(1024),
            row_count bigint not null
        )
        """
    ).format(qualified(journal))


def is_journal(columns: Iterable[str]) -> bool:
    """Whether a table of these columns is a journal of ours."""
    return set(columns) == set(JOURNAL_COLUMNS)


def _column(column: ColumnPlan, encoding: str | None) -> sql.Composed:
    return sql.SQL("{} {}{}{}").format(
        sql.Identifier(column.name),
        # A type is built from this library's own names and numbers, or read back from the parser.
        sql.SQL(str(column.type)),
        sql.SQL("" if column.nullable else " not null"),
        sql.SQL(f" encode {encoding}" if encoding else ""),
    )


def _attributes(plan: LoadPlan, layout: TableLayout) -> sql.Composed:
    parts: list[sql.Composable] = []
    if layout.diststyle:
        parts.append(sql.SQL(f" diststyle {layout.diststyle}"))
    if layout.distkey:
        parts.append(sql.SQL(" distkey ({})").format(sql.Identifier(_known(layout.distkey, plan))))
    if layout.sortkey:
        style = "" if layout.sortstyle in {None, "auto"} else f" {layout.sortstyle}"
        keys = [_known(name, plan) for name in layout.sortkey]
        parts.append(sql.SQL(f"{style} sortkey ({{}})").format(column_list(keys)))
    elif layout.sortstyle == "auto":
        parts.append(sql.SQL(" sortkey auto"))
    return sql.Composed(parts)


def _known(name: str, plan: LoadPlan) -> str:
    folded = fold(name)
    if folded not in plan.names:
        raise ConfigurationError(
            f'The layout of {plan.table} names "{name}", which is not one of its columns.',
            f"The columns are {', '.join(plan.names)}.",
        )
    return folded


def _several(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _lower(value: Any) -> str | None:
    return str(value).lower() if value else None


def _check(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}.", f"It is one of {', '.join(allowed)}.")
