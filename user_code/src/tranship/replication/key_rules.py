"""How a table's key is compared: by the rules of its source, or by bytes where the settings say so."""

from collections.abc import Mapping

import pyarrow as pa

from tranship.equality import Rules, TextEquality
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.keys import refuse_unknown
from tranship.replication.plan import KeyComparison, TablePlan
from tranship.source import Source
from tranship.tables import TableSchema, is_text

REMEDY = (
    "Name another key; or load the table with mode: replace; or, where a key is never spelled in another way later, "
    "set key_comparison: bytes."
)


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


def comparable(batches: Batches, rules: Rules, plan: TablePlan) -> Batches:
    """The source's rows, refused where a key has a character of which it is not known what it equals.

    Raises:
        KeyNotComparableError: While iterating; the message has the column and the value.
    """
    present = {name: rule for name, rule in rules.items() if name in batches.schema.names}
    return refuse_unknown(batches, present, plan.source, REMEDY)


def names_of(rules: Rules) -> dict[str, str]:
    """The rules as a bookmark's facts keep them."""
    return {name: rule.rule for name, rule in rules.items()}


def change(before: Mapping[str, str] | None, rules: Rules) -> str | None:
    """How the comparison differs from that of the last load, in words; `None` where it is the same.

    Example:
        >>> change({"Code": "Latin1_General_BIN2"}, {"Code": TextEquality("Latin1_General_CI_AS", case=False)})
        'the key column Code is compared by Latin1_General_CI_AS now, and was by Latin1_General_BIN2'
    """
    now, old = names_of(rules), before or {}
    changed = [
        f"{name} is compared by {now.get(name, 'bytes')} now, and was by {old.get(name, 'bytes')}"
        for name in dict.fromkeys([*now, *old])
        if now.get(name) != old.get(name)
    ]
    return f"the key column {', and '.join(changed)}" if changed else None
