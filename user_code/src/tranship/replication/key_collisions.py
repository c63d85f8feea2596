"""Keys that are several in the source and one in the copy: found before the first row is written."""

from tranship.errors import KeyNotComparableError
from tranship.replication.plan import Mode, TablePlan
from tranship.replication.source import Source
from tranship.sqlserver.arriving import arriving, loss


def refuse_collisions(source: Source, *, enforces_keys: bool) -> None:
    """Refuse a table of which two keys would become one row.

    Only a key of which less arrives than there is, is looked at: a column that is cast, or has seven digits of a
    second. Its source is asked to group all keys as they arrive, which reads the whole key.

    Args:
        source: The table.
        enforces_keys: Whether the target keeps a key unique, also where a whole table is replaced.

    Raises:
        KeyNotComparableError: The message has the columns, one such key, and the cure.
    """
    plan = source.plan
    if not (plan.is_incremental or (plan.mode is Mode.REPLACE and enforces_keys)):
        return
    key = source.key if plan.is_incremental else source.schema.primary_key
    columns = [source.schema.column(name) for name in key]
    casts = plan.columns.cast
    lossy = [column for column in columns if arriving(column, casts.get(column.name)) is not None]
    if not lossy or not _arrives(plan, key):
        return
    expressions = {column.name: arriving(column, casts.get(column.name)) or "" for column in lossy}
    example = source.collision(key, expressions)
    if example is None:
        return
    times, values = example
    differing = [
        (column, values[column.name])
        for column in lossy
        if values[column.name][0] != values[column.name][1]
    ]
    named = differing or [(column, values[column.name]) for column in lossy]
    shown = "; ".join(
        f"{loss(column, casts.get(column.name))}: {least!r} and {greatest!r}"
        for column, (least, greatest) in named
    )
    raise KeyNotComparableError(
        f"{times} keys of {plan.source} would become one in the copy, because less arrives of them than there is, of "
        f"{shown}. Nothing was written.",
        _cure(named[0][0].name, is_cast=named[0][0].name in casts),
        details={"columns": ", ".join(column.name for column, _ in named), "keys": times},
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
    left_out = [
        name
        for name in key
        if name in settings.exclude
        or (settings.include is not None and name not in settings.include)
        or settings.mask.get(name) == "redact"
    ]
    return not left_out
