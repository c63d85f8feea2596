"""Whatever a function returns becomes one stream of record batches, lazily."""

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.frames import ROWS_PER_BATCH, Batches, describe, schema_of
from tranship.tables import Column, SourceType, TableSchema

ROWS = {"id": [1, 2, 3], "name": ["a", None, "c"]}
TABLE = pa.table(ROWS)


class OneShotStream:
    """A stream of another library: the Arrow protocol and nothing else, opened once."""

    def __init__(self, table: pa.Table):
        self._reader = table.to_reader()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._reader.__arrow_c_stream__(requested_schema)


class OrdersFrame(pd.DataFrame):
    """A user's own kind of frame; its module is not pandas."""


FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas subclass": lambda: OrdersFrame(ROWS),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars lazy": lambda: pl.LazyFrame(ROWS),
    "pyarrow table": lambda: TABLE,
    "pyarrow batch": lambda: TABLE.to_batches()[0],
    "pyarrow reader": TABLE.to_reader,
    "batches": lambda: Batches.of(TABLE),
    "duckdb relation": lambda: duckdb.from_arrow(TABLE),
    "one-shot stream": lambda: OneShotStream(TABLE),
}
REPLAYABLE = {
    *("pandas", "pandas subclass", "polars", "polars lazy"),
    *("pyarrow table", "pyarrow batch", "batches"),
}


@pytest.fixture(params=FRAMES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_kind_of_frame_gives_its_rows(kind: str):
    assert Batches.of(FRAMES[kind]()).to_table().to_pydict() == ROWS


def test_an_iterator_of_any_kind_gives_the_rows_of_all(kind: str):
    batches = Batches.of(FRAMES[kind]() for _ in range(3))

    assert batches.to_table().to_pydict() == {name: rows * 3 for name, rows in ROWS.items()}


def test_an_iterator_may_mix_libraries():
    batches = Batches.of(make() for make in FRAMES.values())

    assert batches.to_table().num_rows == 3 * len(FRAMES)


def test_batches_of_batches_are_the_same_stream(kind: str):
    once = Batches.of(FRAMES[kind]())

    assert Batches.of(once).to_table().to_pydict() == ROWS
    assert Batches.of(once).replayable == once.replayable


def test_a_frame_in_memory_can_be_read_twice_and_a_stream_cannot(kind: str):
    batches = Batches.of(FRAMES[kind]())

    assert batches.replayable == (kind in REPLAYABLE)
    first = batches.to_table()
    if batches.replayable:
        assert batches.to_table() == first
    else:
        with pytest.raises(ConfigurationError) as refused:
            batches.to_table()
        assert str(refused.value) == (
            "The rows come from an iterator, which can be read only once, and were read again. "
            "Return a frame, or hold the rows with Batches.of(batches.to_table())."
        )


def test_the_schema_is_known_before_a_row_is_read(kind: str):
    batches = Batches.of(FRAMES[kind]())

    assert batches.schema.names == ["id", "name"]
    assert batches.schema.types[0] == pa.int64()
    assert batches.to_table().schema == batches.schema


EMPTY_FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame({"id": pd.Series(dtype="int32")}),
    "polars": lambda: pl.DataFrame(schema={"id": pl.Int32}),
    "polars lazy": lambda: pl.LazyFrame(schema={"id": pl.Int32}),
    "pyarrow table": lambda: pa.schema([("id", pa.int32())]).empty_table(),
    "reader without batches": lambda: pa.RecordBatchReader.from_batches(
        pa.schema([("id", pa.int32())]), []
    ),
    "generator of one empty frame": lambda: iter([pl.DataFrame(schema={"id": pl.Int32})]),
    "duckdb relation": lambda: duckdb.sql("select 1::int as id where false"),
}


@pytest.mark.parametrize("kind", EMPTY_FRAMES)
def test_an_empty_frame_keeps_its_columns(kind: str):
    table = Batches.of(EMPTY_FRAMES[kind]()).to_table()

    assert table.num_rows == 0
    assert table.schema == pa.schema([("id", pa.int32())])


def test_an_iterator_without_frames_has_no_columns_and_says_what_to_do():
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(iter([]))

    assert str(refused.value) == (
        "The iterator gave no frame, so its columns are unknown. Yield at least one (empty) "
        "frame, or return an empty frame, or None to skip the write."
    )


def test_an_iterator_without_frames_is_empty_where_the_schema_is_declared():
    schema = pa.schema([("id", pa.int32())])

    assert Batches.of(iter([]), schema=schema).to_table() == schema.empty_table()


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (7, "builtins.int"),
        ("select 1", "builtins.str"),
        ({"id": [1]}, "builtins.dict"),
        ([{"id": 1}], "builtins.dict"),
        ([[1, 2]], "builtins.list"),
        (pl.Series([1]), "polars.series.series.Series"),
        (pa.chunked_array([[1]]), "pyarrow.lib.ChunkedArray"),
        # Where a pandas series is no Arrow stream yet, it is taken for an iterator of its values.
        (
            pd.DataFrame(ROWS)["id"],
            f"{pd.Series.__module__}.Series"
            if hasattr(pd.Series, "__arrow_c_stream__")
            else "builtins.int",
        ),
    ],
)
def test_what_is_not_a_table_is_named_with_what_to_return(value: Any, type_name: str):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(value).to_table()

    assert str(refused.value) == (
        f"A {type_name} is not a table. "
        "Return a pandas, polars or pyarrow frame, or an iterator of them."
    )


def test_a_later_element_that_is_not_a_table_is_named_too():
    batches = Batches.of(iter([TABLE, "oops"]))

    with pytest.raises(ConfigurationError, match=r"^A builtins\.str is not a table\."):
        batches.to_table()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=[1, "b"]),
        pa.table([pa.array([1])] * 2, names=["", "b"]),
        pl.DataFrame({"": [1]}),
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
    ],
)
def test_column_names_that_are_not_texts_are_refused(frame: Any):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(frame)

    assert str(refused.value).startswith("Column names must be texts, but these are not: [")
    assert str(refused.value).endswith('Name the columns: frame.columns = ["id", "name"].')


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        pa.table([pa.array([1])] * 3, names=["a", "b", "a"]),
    ],
)
def test_columns_of_the_same_name_are_refused(frame: Any):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(frame)

    assert str(refused.value) == (
        "The frame has several columns of the same name: ['a']. Rename them."
    )


@pytest.mark.parametrize("frame", [pd.DataFrame(), pl.DataFrame(), pa.table({})])
def test_a_frame_without_columns_is_refused_with_what_to_return(frame: Any):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(frame)

    assert str(refused.value) == (
        "The frame has no columns. "
        "Return an empty frame with its columns, or None to skip the write."
    )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1, "x"], "Could not convert 'x' with type str: tried to convert to int64"),
        (["x", 1], "Expected bytes, got a 'int' object"),
        ([1j, 2j], "Unsupported numpy type"),
        ([object()] * 2, "did not recognize Python value type"),
    ],
)
def test_a_column_without_one_type_is_named(values: list[Any], why: str):
    frame = pd.DataFrame({"id": [1, 2], "x": pd.Series(values, dtype=object)})
    if isinstance(values[0], complex):
        frame["x"] = pd.Series(values)

    with pytest.raises(UnsupportedTypeError) as refused:
        Batches.of(frame)

    message = str(refused.value)
    assert message.startswith('The column "x" of the frame has no type that can be moved: ')
    assert why in message
    assert message.endswith("Give all its values one type: frame.astype, frame.cast.")


@pytest.mark.parametrize("lazily", [False, True])
def test_python_objects_in_polars_are_refused_never_sent_as_addresses(lazily: bool):
    frame = pl.DataFrame({"x": [object()]}, schema={"x": pl.Object})

    with pytest.raises(UnsupportedTypeError) as refused:
        Batches.of(frame.lazy() if lazily else frame)

    assert str(refused.value) == (
        'The column "x" of the frame has no type that can be moved: it holds Python objects. '
        "Give all its values one type: frame.astype, frame.cast."
    )


@pytest.mark.parametrize("kind", ["pandas", "polars", "polars lazy", "pyarrow table"])
def test_a_large_frame_is_cut_into_batches_of_a_bounded_size(kind: str):
    rows = {"id": range(2 * ROWS_PER_BATCH + 1)}
    frames = {
        "pandas": pd.DataFrame,
        "polars": pl.DataFrame,
        "polars lazy": pl.LazyFrame,
        "pyarrow table": lambda columns: pa.table({"id": list(columns["id"])}),
    }

    sizes = [batch.num_rows for batch in Batches.of(frames[kind](rows))]

    assert sizes == [ROWS_PER_BATCH, ROWS_PER_BATCH, 1]


def test_a_generator_is_asked_for_one_frame_at_a_time():
    made: list[int] = []

    def frames() -> Iterator[pa.Table]:
        for number in range(5):
            made.append(number)
            yield pa.table({"id": [number]})

    batches = Batches.of(frames())
    assert made == [0]

    stream = batches.open()
    assert next(stream)["id"].to_pylist() == [0]
    assert made == [0]
    assert next(stream)["id"].to_pylist() == [1]
    assert made == [0, 1]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_frame_that_was_read_is_let_go(make: Callable[[dict[str, Any]], Any]):
    alive: list[weakref.ref[Any]] = []

    def frames() -> Iterator[Any]:
        for number in range(6):
            frame = make({"id": [number]})
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    most = 0
    for _ in Batches.of(frames()):
        most = max(most, sum(one() is not None for one in alive))

    # The first one is held until the stream ends: its schema was asked for before its rows.
    assert most <= 3


def test_a_generator_is_closed_with_the_stream_not_with_the_garbage():
    closed: list[threading.Thread] = []

    def frames() -> Iterator[pa.Table]:
        try:
            yield TABLE
            yield TABLE
        finally:
            closed.append(threading.current_thread())

    generator = frames()  # held, so that nothing but the stream can close it
    stream = Batches.of(generator).open()
    next(stream)
    assert closed == []
    stream.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert closed == [threading.current_thread()]


@pytest.mark.parametrize("kind_of_frame", FRAMES)
def test_only_what_lives_in_no_thread_is_read_in_another(kind_of_frame: str):
    frame = FRAMES[kind_of_frame]()
    in_memory = kind_of_frame in REPLAYABLE

    assert Batches.of(frame).any_thread == in_memory
    assert not Batches.of(iter([TABLE])).any_thread
    assert not Batches(TABLE.schema, lambda: iter(TABLE.to_batches())).any_thread


def test_an_error_in_a_users_generator_arrives_as_it_is():
    def frames() -> Iterator[pa.Table]:
        yield TABLE
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Batches.of(frames()).to_table()


def test_a_schema_is_described_on_one_line_with_its_source_types():
    schema = TableSchema(
        (Column("id", pa.int64(), source_type=SourceType.parse("bigint")), Column("n", pa.bool_()))
    )

    assert describe(schema.to_arrow()) == "id bigint, n bool"


def test_asking_for_the_schema_leaves_a_frames_rows_alone(kind: str):
    assert schema_of(FRAMES[kind]()).names == ["id", "name"]


def test_a_generator_is_refused_a_second_pass_instead_of_giving_no_rows():
    batches = Batches.of(iter([TABLE]))
    batches.to_table()

    assert not batches.replayable
    with pytest.raises(ConfigurationError, match="can be read only once, and were read again"):
        batches.open()


def test_an_index_that_holds_data_is_not_dropped_in_silence():
    totals = pd.DataFrame({"region": ["n", "s"], "amount": [1, 2]}).groupby("region").sum()
    with pytest.raises(ConfigurationError, match=r"index with a name \(region\).*reset_index"):
        Batches.of(totals)


VALUES = pd.DataFrame({"v": [1, 2, 3, 4]})
LABELLED: dict[str, Any] = {
    "texts": VALUES.set_axis(list("abcd")),
    "dates": VALUES.set_axis(pd.date_range("2024-01-01", periods=4)),
    "numbers": VALUES.set_axis([101, 102, 103, 104]),
    "years": VALUES.set_axis([2021, 2022, 2023, 2024]),
    "fractions": VALUES.set_axis([0.0, 1.0, 2.0, 3.0]),
    "several levels": VALUES.set_axis(pd.MultiIndex.from_product([[0, 1], [0, 1]])),
    "categories": VALUES.set_axis(pd.CategoricalIndex(["a", "b", "c", "d"])),
    "below zero": VALUES.set_axis([-1, 0, 1, 2]),
    "null": VALUES.set_axis(pd.Index([0, 1, 2, None], dtype="Int64")),
    "a description": VALUES.describe(),
    "transposed": VALUES.T.rename(columns=str).set_axis(["v"]),
    "a key whose name was dropped": VALUES.assign(k=[7, 8, 9, 5]).set_index("k").rename_axis(None),
    "what a filter left": VALUES[VALUES["v"] != 3],
}


@pytest.mark.parametrize("kind_of_index", LABELLED)
def test_labels_without_a_name_are_refused_with_the_way_to_keep_and_to_drop_them(
    kind_of_index: str,
):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(LABELLED[kind_of_index])

    message = str(refused.value)
    assert message.startswith("The frame has an index that holds labels (")
    assert 'frame.rename_axis("label").reset_index()' in message
    assert "frame.reset_index(drop=True)" in message


@given(cuts=st.lists(st.integers(0, 6), max_size=3), data=st.data())
def test_an_index_that_only_counts_rows_is_no_label(cuts: list[int], data: st.DataObject):
    frames = [pd.DataFrame({"v": range(size)}) for size in [3, *cuts]]
    whole = pd.concat(frames)
    order = data.draw(st.permutations(range(len(whole))))
    sorted_anew = whole.iloc[order]

    for frame in (whole, sorted_anew, whole.iloc[:0], frames[0].iloc[1:], pd.DataFrame({"v": []})):
        assert Batches.of(frame).to_table()["v"].to_pylist() == frame["v"].tolist()


TEXTS = ["a", None, "long enough not to be inlined anywhere", "", "ü"]
table: Any = pa.table  # its stubs do not know columns of chunks
CHUNKED: dict[str, Callable[[], Any]] = {
    "pandas, put together": lambda: pd.concat([pd.DataFrame({"v": [one]}, dtype="str") for one in TEXTS]),
    "pandas, put together with a new index": lambda: pd.concat(
        [pd.DataFrame({"v": TEXTS[:2]}), pd.DataFrame({"v": TEXTS[2:]})], ignore_index=True
    ),
    "pandas, a slice of parts": lambda: pd.concat([pd.DataFrame({"v": TEXTS})] * 2, ignore_index=True).iloc[5:],
    "pandas, Arrow's own strings": lambda: pd.concat(
        [pd.DataFrame({"v": pd.array([one], dtype=pd.ArrowDtype(pa.string()))}) for one in TEXTS]
    ),
    "pandas, Python's strings": lambda: pd.concat([pd.DataFrame({"v": [one]}, dtype=object) for one in TEXTS]),
    "pandas, loaded in batches": lambda: pa.Table.from_batches(
        [pa.record_batch({"v": pa.array([one], pa.string())}) for one in TEXTS]
    ).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas, categories": lambda: pd.DataFrame({"v": pd.Categorical(TEXTS)}),
    "polars, put together": lambda: pl.concat(
        [pl.DataFrame({"v": [one]}, schema={"v": pl.String}) for one in TEXTS], rechunk=False
    ),
    "polars, a slice of parts": lambda: pl.concat([pl.DataFrame({"v": TEXTS})] * 2, rechunk=False).slice(5),
    "polars, lazy": lambda: pl.concat([pl.DataFrame({"v": TEXTS[:2]}), pl.DataFrame({"v": TEXTS[2:]})]).lazy(),
    "polars, categories": lambda: pl.DataFrame({"v": TEXTS}, schema={"v": pl.Categorical}),
    "pyarrow, chunks": lambda: table({"v": pa.chunked_array([[one] for one in TEXTS], pa.string())}),
    "pyarrow, empty chunks": lambda: table({"v": pa.chunked_array([[], TEXTS, []], pa.string())}),
    "pyarrow, a dictionary for each chunk": lambda: table(
        {"v": pa.chunked_array([pa.array([one], pa.string()).dictionary_encode() for one in TEXTS])}
    ),
    "pyarrow, columns of other chunks": lambda: table(
        {"v": pa.chunked_array([TEXTS[:2], TEXTS[2:]], pa.string()), "n": pa.chunked_array([[1], [2, 3, 4, 5]])}
    ).select(["v"]),
    "pyarrow, views": lambda: table({"v": pa.chunked_array([TEXTS[:1], TEXTS[1:]], pa.string_view())}),
}  # fmt: skip


@pytest.mark.parametrize("layout", CHUNKED)
def test_rows_in_any_layout_of_chunks_arrive(layout: str):
    batches = Batches.of(CHUNKED[layout]())

    assert batches.to_table()["v"].to_pylist() == TEXTS
    assert batches.to_polars()["v"].to_list() == TEXTS
    assert Batches.of(batches.to_pandas()).to_table()["v"].to_pylist() == TEXTS
