"""Keys on their way to a target that compares them as their source does: those it cannot are refused."""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from tranship.arrow_types import ArrowArray
from tranship.equality import TextEquality
from tranship.errors import KeyNotComparableError
from tranship.frames import Batches
from tranship.tables import TableSchema
from tranship.writes import WriteMode, WriteRequest


def comparable(request: WriteRequest, batches: Batches, schema: TableSchema) -> Batches:
    """The rows of a merge, refused where a key cannot be compared as its source does.

    Raises:
        KeyNotComparableError: While iterating.
    """
    if request.mode is not WriteMode.MERGE:
        return batches
    return refuse_unknown(
        batches,
        schema.equalities(request.key),
        request.table,
        "Name another key, or replace the table or its partitions instead of merging.",
    )


def refuse_unknown(
    batches: Batches, rules: Mapping[str, TextEquality], table: object, remedy: str
) -> Batches:
    """The same rows, refused where a key has a character of which it is not known what it equals.

    Args:
        batches: The rows.
        rules: How each key column of texts is compared, by its name in the rows.
        table: Whose rows they are, for the message.
        remedy: What can be done about it.

    Raises:
        KeyNotComparableError: While iterating; the message has the column and the value.
    """
    patterns = {
        name: pattern
        for name, rule in rules.items()
        if (pattern := rule.unknown_pattern) is not None
    }
    if not patterns:
        return batches

    def opened() -> Iterator[pa.RecordBatch]:
        for batch in batches.open():
            for name, pattern in patterns.items():
                value = _first_match(batch.column(name), pattern)
                if value is not None:
                    raise _not_known(name, value, rules[name], table, remedy)
            yield batch

    return replace(batches, open=opened)


def _first_match(array: ArrowArray, pattern: str) -> str | None:
    import pyarrow.compute as pc  # takes as long to import as the rest of pyarrow

    plain = array.cast(pa.large_string())
    matching = plain.filter(pc.match_substring_regex(plain, pattern))
    return matching[0].as_py() if len(matching) else None


def _not_known(
    column: str, value: str, rule: TextEquality, table: object, remedy: str
) -> KeyNotComparableError:
    sign = next(character for character in value if not rule.knows(character))
    return KeyNotComparableError(
        f'The key column "{column}" of {table} has the value {value!r}. Which other texts {rule.rule} takes for '
        f"the same as one with {sign!r} (U+{ord(sign):04X}) is not known here, so a key that is spelled in "
        "another way later would come twice.",
        remedy,
        details={"column": column, "collation": rule.rule, "character": f"U+{ord(sign):04X}"},
    )
