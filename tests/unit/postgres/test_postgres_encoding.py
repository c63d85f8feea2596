"""What the CSV encoder writes, byte for byte: the part that Postgres reads by its own rules."""

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError
from tranship.exactness import MisfitError
from tranship.postgres.casting import fit_batch, plan_column
from tranship.postgres.conversions import unchanged, whole_ticks
from tranship.postgres.copy_in import Encoder, encode
from tranship.postgres.text_forms import bytes_from_hex, hex_from_bytes
from tranship.postgres.types import column_type
from tranship.tables import Column


def csv_of(array: pa.Array) -> bytes:
    column = Column("v", array.type)
    plans = [plan_column(column, column_type(column), "public.t")]
    batch = fit_batch(pa.record_batch({"v": array}), plans, "public.t", 0)
    made = encode(plans, Encoder.CSV)
    assert made.copy_options == "format csv"
    return b"".join(made.chunks(iter([batch])))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["", None, "NULL", 'a"b', "x\ny", "\\."]), b'""\n\n"NULL"\n"a""b"\n"x\ny"\n"\\."\n'),
        (pa.array([b"", None, b"\x00\xff"]), b'"\\x"\n\n"\\x00ff"\n'),
        (pa.array([True, None]), b"true\n\n"),
        (pa.array([1.5, float("nan"), float("-inf")]), b"1.5\nnan\n-inf\n"),
        (pa.array([-62_135_596_800_000_000], pa.int64()).cast(pa.timestamp("us")), b"0001-01-01 00:00:00.000000\n"),
        (pa.array([bytes(range(16))], pa.uuid()), b'"000102030405060708090a0b0c0d0e0f"\n'),
    ],
)  # fmt: skip
def test_csv_is_what_postgres_reads_back(array: pa.Array, expected: bytes) -> None:
    assert csv_of(array) == expected


def test_hexadecimal_survives_slices_and_nulls() -> None:
    array = pa.array([b"skip", b"", None, b"\x00\xff", b"skip"], pa.large_binary()).slice(1, 3)
    texts = hex_from_bytes(array)
    assert texts.to_pylist() == ["", None, "00ff"]
    assert bytes_from_hex(texts).equals(array)
    prefixed = pa.array(["x", "\\x", None, "\\x00ff"], pa.large_string()).slice(1)
    assert bytes_from_hex(prefixed, digits_from=2).to_pylist() == [b"", None, b"\x00\xff"]


@given(values=st.lists(st.none() | st.binary(max_size=9), max_size=40), start=st.integers(0, 20))
def test_any_slice_of_bytes_survives_hexadecimal(values: list[bytes | None], start: int) -> None:
    array = pa.array(values, pa.large_binary()).slice(min(start, len(values)))
    texts = hex_from_bytes(array)
    assert texts.to_pylist() == [
        None if value is None else value.hex() for value in array.to_pylist()
    ]
    assert bytes_from_hex(texts).to_pylist() == array.to_pylist()


def test_a_slice_is_judged_by_its_own_rows() -> None:
    array = pa.array([1, 2_000, None, 3_000, 1], pa.int64()).cast(pa.timestamp("us"))
    convert = whole_ticks(unchanged, 3)
    assert convert(array.slice(1, 3)).to_pylist() == array.slice(1, 3).to_pylist()
    with pytest.raises(MisfitError):
        convert(array.slice(1, 4))


def test_common_rows_are_encoded_without_pandas() -> None:
    program = """
import sys
from standins.sample import sample_tables
from tranship.postgres.casting import fit_batch
from tranship.postgres.ddl import new_columns
from tranship.postgres.copy_in import Encoder, encode
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

for table in sample_tables(scale=0.01):
    plans = new_columns(WriteRequest(TableName("a", "b")), TableSchema.from_arrow(table.schema))
    for encoder in (Encoder.BINARY, Encoder.CSV):
        fitted = (fit_batch(batch, plans, "a.b", 0) for batch in table.batches())
        assert sum(map(len, encode(plans, encoder).chunks(fitted))) > 0
print("pandas" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("text", ["0", "0g", "00 00 "])
def test_what_is_not_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        bytes_from_hex(pa.array([text], pa.large_string()))


@pytest.fixture
def without_pgpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


@pytest.mark.usefixtures("without_pgpq")
def test_without_the_binary_encoder_rows_go_as_csv() -> None:
    column = Column("v", pa.int32())
    plans = [plan_column(column, column_type(column), "public.t")]
    assert encode(plans).encoder is Encoder.CSV
    with pytest.raises(ConfigurationError, match="needs the package pgpq"):
        encode(plans, Encoder.BINARY)


@pytest.mark.parametrize("wanted", [Encoder.BINARY, Encoder.CSV])
def test_long_texts_are_encoded_a_few_at_a_time(wanted: Encoder) -> None:
    column = Column("v", pa.large_string())
    plans = [plan_column(column, column_type(column), "public.t")]
    batch = pa.record_batch({"v": pa.array(["x" * 1_000_000] * 50, pa.large_string())})
    sizes = [len(chunk) for chunk in encode(plans, wanted).chunks(iter([batch]))]
    assert sum(sizes) > 50_000_000
    assert max(sizes) < 6_000_000
