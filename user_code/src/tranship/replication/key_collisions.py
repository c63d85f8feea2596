"""Keys that are several in the source and one in the copy: found before the first row is written."""

from tranship.errors import KeyNotComparableError
from tranship.replication.plan import Mode, TablePlan
from tranship.source import Source


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
    left_out = [
        name
        for name in key
        if name in settings.exclude
        or (settings.include is not None and name not in settings.include)
        or settings.mask.get(name) == "redact"
    ]
    return not left_out
