import os
import pickle
import stat
import time
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.frames import Batches
from tranship.plain_values import dumps, loads
from tranship.spool import SpoolIOManager
from tranship.tables import Column, SourceType, TableSchema

ROWS = pa.table({"id": [1, 2, 3], "name": ["a", None, "ü"]})


@pytest.fixture
def spool(tmp_path: Path) -> SpoolIOManager:
    return SpoolIOManager(base_uri=str(tmp_path / "spool"))


def handed_over(value, annotation, spool: SpoolIOManager):
    """What a second op receives when a first one returns `value`."""
    received = []

    @dg.op
    def give():
        return value

    @dg.op(ins={"it": dg.In(annotation)} if annotation else {})
    def take(it):
        received.append(it.to_table() if isinstance(it, Batches) else it)

    @dg.job(resource_defs={"io_manager": spool})
    def pass_on():
        take(give())

    pass_on.execute_in_process()
    return received[0]


@pytest.mark.parametrize("annotation", [None, Batches])
def test_a_stream_arrives_as_batches_with_every_value(spool: SpoolIOManager, annotation):
    arrived = handed_over(Batches.of(iter(ROWS.to_batches(max_chunksize=2))), annotation, spool)
    assert arrived == ROWS


def test_a_frame_arrives_as_the_frame_that_is_asked_for(spool: SpoolIOManager):
    arrived = handed_over(ROWS, pd.DataFrame, spool)
    assert arrived["id"].tolist() == [1, 2, 3]


VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
        *(st.floats(allow_nan=False), st.dates(), st.datetimes(), st.times(), st.timedeltas()),
        *(st.decimals(allow_nan=False), st.uuids()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.dates()), inner, max_size=3),
        st.frozensets(st.integers(), max_size=1),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_plain_value_comes_back_as_it_was(value):
    arrived = loads(dumps(value))
    assert arrived == value
    assert repr(arrived) == repr(value)


@pytest.mark.parametrize("value", [[ROWS], {"a": object()}, (print,), [Path("x")]])
def test_what_is_neither_table_nor_plain_is_refused_with_the_cure(spool: SpoolIOManager, value):
    with pytest.raises(
        dg.Failure, match=r"cannot be handed to the next step by the spool\. Return"
    ):
        handed_over(value, None, spool)


def test_nothing_is_pickled_or_unpickled(spool: SpoolIOManager, tmp_path: Path, monkeypatch):
    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, None)
    assert handed_over({"a": (1, date(2024, 1, 1))}, None, spool) == {"a": (1, date(2024, 1, 1))}
    assert {file.suffix for file in (tmp_path / "spool").rglob("*") if file.is_file()} == {".json"}


def test_the_spools_folder_is_for_its_user_alone(tmp_path: Path):
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    for folder in (tmp_path / "new", there):
        handed_over(ROWS, Batches, SpoolIOManager(base_uri=str(folder)))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_into_or_that_is_a_link_is_refused(tmp_path: Path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(
        dg.Failure, match=r"Others may write into .*open.* \(mode 0777\).*chmod 700"
    ):
        handed_over(ROWS, Batches, SpoolIOManager(base_uri=str(open_to_all)))
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(dg.Failure, match="is a link or a file, not the folder of the spool"):
        handed_over(ROWS, Batches, SpoolIOManager(base_uri=str(tmp_path / "link")))


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "theirs").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "theirs").stat().st_uid + 1)
    with pytest.raises(
        dg.Failure, match=r"belongs to user .*: what is read there could be planted"
    ):
        handed_over(ROWS, Batches, SpoolIOManager(base_uri=str(tmp_path / "theirs")))


def test_a_step_of_any_length_has_a_file(spool: SpoolIOManager):
    @dg.op(name="x" * 300)
    def give():
        return ROWS

    @dg.op
    def take(it: pa.Table):
        return it.num_rows

    @dg.job(resource_defs={"io_manager": spool})
    def pass_on():
        take(give())

    assert pass_on.execute_in_process().output_for_node("take") == 3


@pytest.mark.parametrize("value", ["DimProduct", 7, None, ["a", "b"], {"a": 1}])
def test_other_values_arrive_as_they_are(spool: SpoolIOManager, value):
    assert handed_over(value, None, spool) == value


def test_source_types_survive_the_file(spool: SpoolIOManager):
    schema = TableSchema(
        (Column("price", pa.decimal128(19, 4), source_type=SourceType("money")),),
        primary_key=("price",),
    )
    empty = Batches(schema.to_arrow(), lambda: iter(()))
    arrived = handed_over(empty, Batches, spool)
    assert TableSchema.from_arrow(arrived.schema) == schema
    assert arrived.num_rows == 0


def test_batches_can_be_read_after_the_file_is_closed(spool: SpoolIOManager):
    first, *_ = handed_over(ROWS, pa.Table, spool).to_batches()
    assert first.column("name").to_pylist() == ["a", None, "ü"]


EXTRACTIONS: list[int] = []
LOADS: list[int] = []


@dg.op
def extract():
    EXTRACTIONS.append(1)
    return ROWS


@dg.op
def load(df: Batches):
    LOADS.append(df.to_table().num_rows)
    if len(LOADS) == 1:
        raise dg.Failure("the target was full", allow_retries=False)


@dg.job(
    executor_def=dg.in_process_executor,
    resource_defs={"io_manager": SpoolIOManager(base_uri=dg.EnvVar("TRANSHIP_TEST_SPOOL"))},
)
def extract_and_load():
    load(extract())


def test_a_load_that_failed_runs_again_without_extracting_again(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TRANSHIP_TEST_SPOOL", str(tmp_path / "spool"))
    (tmp_path / "home").mkdir()
    job = dg.reconstructable(extract_and_load)
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        failed = dg.execute_job(job, instance)
        assert not failed.success
        from_failure = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        assert dg.execute_job(job, instance, reexecution_options=from_failure).success
    assert (EXTRACTIONS, LOADS) == ([1], [3, 3])


def test_nothing_half_written_is_ever_found(spool: SpoolIOManager, tmp_path: Path):
    def breaks():
        yield ROWS
        raise RuntimeError("the source went away")

    with pytest.raises(RuntimeError, match="the source went away"):
        handed_over(Batches.of(breaks()), Batches, spool)
    assert not list((tmp_path / "spool").rglob("*.arrow"))


def test_a_missing_file_says_how_to_get_it_back(spool: SpoolIOManager, tmp_path: Path):
    @dg.op
    def give():
        return ROWS

    @dg.op
    def lose(it):
        for file in (tmp_path / "spool").rglob("*.arrow"):
            file.unlink()
        return it.schema.names

    @dg.op(ins={"after": dg.In(dg.Nothing)})
    def take(it):
        return it

    @dg.job(resource_defs={"io_manager": spool})
    def pass_on():
        given = give()
        take(given, after=lose(given))

    result = pass_on.execute_in_process(raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data
    text = (said and said.description) or ""
    assert 'What step give gave as "result" is no longer in' in text
    assert "raise keep_days" in text


def test_an_unusable_place_is_named(tmp_path: Path):
    with pytest.raises(dg.Failure, match="base_uri 'nowhere://x' of the spool cannot be used"):
        handed_over(ROWS, Batches, SpoolIOManager(base_uri="nowhere://x"))


def test_runs_of_long_ago_are_pruned_and_recent_ones_kept(tmp_path: Path):
    old, recent = tmp_path / "old-run", tmp_path / "recent-run"
    for directory in (old, recent):
        (directory / "step").mkdir(parents=True)
        (directory / "step" / "df.arrow").write_bytes(b"x")
    long_ago = time.time() - 8 * 86_400
    for path in (old / "step" / "df.arrow", old / "step", old):
        os.utime(path, (long_ago, long_ago))
    handed_over(ROWS, Batches, SpoolIOManager(base_uri=str(tmp_path), keep_days=7))
    assert not old.exists()
    assert recent.exists()


def test_chunks_that_bring_dictionaries_of_their_own_arrive(spool: SpoolIOManager):
    chunks = [pa.array(texts).dictionary_encode() for texts in (["a", "b"], ["c", None], ["a"])]
    rows: Any = pa.chunked_array(chunks)

    arrived = handed_over(pa.Table.from_arrays([rows], names=["kind"]), pa.Table, spool)

    assert arrived["kind"].to_pylist() == ["a", "b", "c", None, "a"]
