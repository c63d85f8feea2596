"""U+0000 in texts: SQL Server stores it, Postgres and Redshift refuse it.

The check looks for a zero byte in a column's whole text buffer at once (0.04 ms per MB), so it can
always be on; rows are looked at only where one was found.
"""

import pyarrow as pa

from tranship.errors import ValueDoesNotFitError
from tranship.reads import OnNul
from tranship.tables import TableName

NUL = "\x00"


def without_nul(
    array: pa.Array, policy: OnNul, *, table: TableName, column: str, first_row: int
) -> pa.Array:
    r"""A text column that meets the policy.

    Args:
        array: A column of type `large_string`.
        policy: What to do with U+0000.
        table: The table it was read from, for the message.
        column: The column's name, for the message.
        first_row: The number of the array's first row in the result, counted from 1.

    Raises:
        ValueDoesNotFitError: A text holds U+0000 and the policy is `error`.

    Example:
        >>> without_nul(pa.array(["a\0b"], pa.large_string()), OnNul.STRIP,
        ...             table=TableName("dbo", "t"), column="c", first_row=1).to_pylist()
        ['ab']
    """
    import pyarrow.compute as pc  # whoever names a policy does not need it

    if policy is OnNul.KEEP or not holds_zero_byte(array):
        return array
    found = pc.index(pc.match_substring(array, NUL), True).as_py()
    if found < 0:
        return array  # The byte belongs to no value: a null's place in the buffer.
    if policy is OnNul.STRIP:
        return pc.replace_substring(array, NUL, "")
    row = first_row + found
    raise ValueDoesNotFitError(
        f'The column "{column}" of {table} holds the character U+0000 in row {row} of the result, '
        "which Postgres and Redshift cannot store.",
        'Set on_nul to "strip" to leave the character out, or mend the row in the source.',
        details={"table": str(table), "column": column, "row": row},
    )


def holds_zero_byte(array: pa.Array) -> bool:
    """Whether the bytes behind a `large_string` array include a zero, which UTF-8 uses for U+0000 only."""
    import pyarrow.compute as pc

    _, offsets, text = array.buffers()
    if not len(array) or offsets is None or text is None:
        return False
    positions = memoryview(offsets).cast("q")
    start, end = positions[array.offset], positions[array.offset + len(array)]
    if start == end:
        return False
    window = pa.Array.from_buffers(pa.uint8(), end - start, [None, text.slice(start, end - start)])
    return pc.min(window).as_py() == 0
