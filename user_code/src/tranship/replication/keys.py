"""A table's key: by which rules it tells rows apart, which keys are refused, and slices of the source by key.

A scan reads rows where they lie at the moment; a row whose place changes meanwhile may be passed over, or come twice.
Asked for by its key, it is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tranship.equality import Rules, TextEquality
from tranship.errors import ConfigurationError, KeyNotComparableError
from tranship.frames import Batches
from tranship.keys import refuse_unknown
from tranship.replication.columns import ColumnChanges
from tranship.replication.plan import KeyComparison, Mode, TablePlan
from tranship.slices import AllOf, AnyOf, Slice, Values
from tranship.source import Source
from tranship.tables import TableSchema, is_binary, is_text

REMEDY = (
    "Name another key; or load the table with mode: replace; or, where a key is never spelled in another way later, "
    "set key_comparison: bytes."
)
MOST_KEYS_LOOKED_UP = 50_000
"""Beyond this many, a second look at all keys costs no more than asking for each."""
_VALUES_PER_SLICE = 1_000
"""A statement binds them all, and SQL Server takes 2,100
(https://learn.microsoft.com/sql/sql-server/maximum-capacity-specifications-for-sql-server)."""


def rules_of(plan: TablePlan, source: Source, key: tuple[str, ...]) -> dict[str, TextEquality]:
    """The rules by which a plan's loads tell rows apart; none where bytes do.

    Args:
        plan: The table's plan.
        source: The table.
        key: The key's columns, in the source.

    Raises:
        ConfigurationError: A text of the key is cast to another type, which has lost how the source compares it.
    """
    if not plan.is_incremental or plan.key_comparison is KeyComparison.BYTES:
        return {}
    rules = source.schema.equalities(key)
    for name, rule in rules.items():
        type_ = plan.columns.cast.get(name)
        if type_ is not None and not _is_text(source.type_of_cast(type_)):
            raise ConfigurationError(
                f'The key column "{name}" of {plan.source} is cast to {type_}, but the source tells its rows apart by '
                f"{rule.rule}: two spellings of one key would be two rows.",
                f"Cast it to a text, or move it as it is. {REMEDY}",
            )
    return rules


def digest_rules(plan: TablePlan, schema: TableSchema) -> dict[str, TextEquality]:
    """The rules that digests of incremental loads depend on: those of hashed texts, part of the key or not."""
    if not plan.is_incremental or plan.key_comparison is KeyComparison.BYTES:
        return {}
    return schema.equalities(name for name, mask in plan.columns.mask.items() if mask == "hash")


def _is_text(type_: pa.DataType | None) -> bool:
    return type_ is not None and is_text(type_)


def comparable_keys(batches: Batches, rules: Rules, plan: TablePlan) -> Batches:
    """The source's rows, refused where a key has a character of which it is not known what it equals.

    Raises:
        KeyNotComparableError: While iterating; the message has the column and the value.
    """
    present = {name: rule for name, rule in rules.items() if name in batches.schema.names}
    return refuse_unknown(batches, present, plan.source, REMEDY)


def names_of_rules(rules: Rules) -> dict[str, str]:
    """The rules as a bookmark's facts keep them."""
    return {name: rule.rule for name, rule in rules.items()}


def change_of_rules(before: Mapping[str, str] | None, rules: Rules) -> str | None:
    """How the comparison differs from that of the last load, in words; `None` where it is the same.

    Example:
        >>> change_of_rules({"Code": "Latin1_General_BIN2"}, {"Code": TextEquality("Latin1_General_CI_AS", case=False)})
        'the key column Code is compared by Latin1_General_CI_AS now, and was by Latin1_General_BIN2'
    """
    now, old = names_of_rules(rules), before or {}
    changed = [
        f"{name} is compared by {now.get(name, 'bytes')} now, and was by {old.get(name, 'bytes')}"
        for name in dict.fromkeys([*now, *old])
        if now.get(name) != old.get(name)
    ]
    return f"the key column {', and '.join(changed)}" if changed else None


def refuse_collisions(plan: TablePlan, source: Source, *, enforces_keys: bool) -> None:
    """Refuse a table of which two keys would become one row.

    Only a key of which less arrives than there is, is looked at: a column that is cast, or has seven digits of a
    second. Its source is asked to group all keys as they arrive, which reads the whole key.

    Args:
        plan: The table's plan.
        source: The table.
        enforces_keys: Whether the target keeps a key unique, also where a whole table is replaced.

    Raises:
        KeyNotComparableError: The message has the columns, one such key, and the cure.
    """
    if not (plan.is_incremental or (plan.mode is Mode.REPLACE and enforces_keys)):
        return
    key = source.key if plan.is_incremental else source.schema.primary_key
    if not _arrives(plan, key):
        return
    collision = source.collision(key)
    if collision is None:
        return
    differing = [one for one in collision.columns if one[2] != one[3]]
    named = differing or collision.columns
    shown = "; ".join(f"{loss}: {least!r} and {greatest!r}" for _, loss, least, greatest in named)
    names = [column.name for column, *_ in named]
    raise KeyNotComparableError(
        f"{collision.keys} keys of {plan.source} would become one in the copy, because less arrives of them than there "
        f"is, of {shown}. Nothing was written.",
        _cure(names[0], is_cast=names[0] in plan.columns.cast),
        details={"columns": ", ".join(names), "keys": collision.keys},
    )


def _cure(column: str, *, is_cast: bool) -> str:
    if is_cast:
        return f'Cast "{column}" to a type that has room for all of it, or move it as it is; or name another key.'
    return (
        f'Read it as a text: columns: {{cast: {{{column}: "nvarchar(40)"}}}}; or name another key.'
    )


def _arrives(plan: TablePlan, key: tuple[str, ...]) -> bool:
    """Whether the whole key gets into the copy as something that tells rows apart."""
    settings = plan.columns
    return not any(settings.leaves_out(name) or settings.mask.get(name) == "redact" for name in key)


def can_be_looked_up(changes: ColumnChanges, schema: TableSchema, key: Sequence[str]) -> bool:
    """Whether the copy's key values find their rows in the source: they arrived as they are, and compare exactly.

    Times do not: SQL Server keeps digits of them that no copy shows.
    """
    return all(
        changes.arrives_as_it_is(name) and _is_exact(schema.column(name).type) for name in key
    )


def slices_of_keys(
    schema: TableSchema,
    key: Sequence[str],
    rows: Sequence[Sequence[Any]],
    names: Sequence[str] | None = None,
) -> list[Slice]:
    """Slices of the source that hold the rows with these keys, each small enough for one statement.

    Args:
        schema: The source's columns.
        key: The key's columns in the source.
        rows: The keys, as the target's driver gives them.
        names: What the columns are called where the slices are for; by default as in the source.

    Raises:
        ConfigurationError: A value is none of its column.
    """
    per_slice = max(_VALUES_PER_SLICE // len(key), 1)
    batches = (rows[at : at + per_slice] for at in range(0, len(rows), per_slice))
    types = [schema.column(name).type for name in key]
    made = [
        _slice_of_keys(names or key, [tuple(map(_plain, row, types)) for row in batch])
        for batch in batches
    ]
    for slice_ in made if names is None else ():
        slice_.predicate(schema)  # which refuses a value that its column cannot have
    return made


def _slice_of_keys(key: Sequence[str], rows: list[tuple[Any, ...]]) -> Slice:
    if len(key) == 1:
        return Values(key[0], tuple(value for (value,) in rows))
    return AnyOf(
        tuple(
            AllOf(tuple(Values(name, (value,)) for name, value in zip(key, row, strict=True)))
            for row in rows
        )
    )


def _plain(value: object, type_: pa.DataType) -> Any:
    if is_binary(type_) and isinstance(value, str):  # Redshift's driver knows no bytes
        return bytes.fromhex(value.removeprefix("\\x"))
    return value.tobytes() if isinstance(value, memoryview) else value


def _is_exact(type_: pa.DataType) -> bool:
    return (
        pa.types.is_integer(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_date(type_)
        or pa.types.is_boolean(type_)
        or is_text(type_)
        or is_binary(type_)
    )
