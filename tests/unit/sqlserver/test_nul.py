"""U+0000 is found wherever it is, and only where it is."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ValueDoesNotFitError
from tranship.reads import OnNul
from tranship.sqlserver.conform import holds_zero_byte, without_nul
from tranship.tables import TableName

TABLE = TableName("dbo", "Notes")
TEXTS = st.lists(st.none() | st.text(st.sampled_from("aé\U0001f600\x00"), max_size=5), max_size=8)


def apply(array: pa.Array, policy: OnNul, first_row: int = 1) -> pa.Array:
    return without_nul(array, policy, table=TABLE, column="Note", first_row=first_row)


@given(texts=TEXTS, start=st.integers(0, 8))
def test_a_zero_byte_is_found_exactly_where_a_text_of_the_slice_holds_it(texts, start):
    array = pa.array(texts, pa.large_string())[start:]
    assert holds_zero_byte(array) is any("\x00" in text for text in texts[start:] if text)


@given(TEXTS)
def test_stripping_takes_out_the_character_and_nothing_else(texts):
    array = apply(pa.array(texts, pa.large_string()), OnNul.STRIP)
    assert array.to_pylist() == [
        None if text is None else text.replace("\x00", "") for text in texts
    ]


@given(TEXTS)
def test_keeping_changes_nothing(texts):
    array = pa.array(texts, pa.large_string())
    assert apply(array, OnNul.KEEP) is array


def test_the_error_names_table_column_and_first_row():
    array = pa.array(["fine", None, "a\x00b", "\x00"], pa.large_string())
    with pytest.raises(ValueDoesNotFitError) as caught:
        apply(array, OnNul.ERROR, first_row=1001)
    assert str(caught.value) == (
        'The column "Note" of dbo.Notes holds the character U+0000 in row 1003 of the result, which '
        'Postgres and Redshift cannot store. Set on_nul to "strip" to leave the character out, or mend '
        "the row in the source."
    )


def test_bytes_behind_a_null_are_no_text():
    offsets = pa.array([0, 2, 3], pa.int64()).buffers()[1]
    array = pa.Array.from_buffers(
        pa.large_string(), 2, [pa.py_buffer(b"\x02"), offsets, pa.py_buffer(b"\x00\x00a")]
    )
    assert apply(array, OnNul.ERROR).to_pylist() == [None, "a"]
