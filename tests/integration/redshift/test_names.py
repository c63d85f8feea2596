"""Tables and columns of any name: written in every mode, read back, found again."""

import pyarrow as pa
import pytest

from tranship.errors import ConfigurationError
from tranship.reads import ReadRequest
from tranship.redshift.reader import read
from tranship.slices import Values
from tranship.writes import WriteMode


@pytest.mark.parametrize(
    "name", ["growth%", "%s", "100%% net", "%(write_id)s", 'quo"te', "a b", "user", "é"]
)
def test_a_table_of_any_name_is_written_twice_in_every_mode_and_read_back(database, name):
    data = pa.table({"id": [1, 2], "a%s": ["x", "x"]})
    for request in (
        {},
        {"slice": Values("a%s", ("x",))},
        {"mode": WriteMode.MERGE, "key": ("id",)},
    ):
        for _ in range(2):
            database.write(data, name, **request)
        rows = read(database.settings, ReadRequest(database.table(name))).to_table()
        assert rows.sort_by("id").to_pydict() == data.to_pydict()


@pytest.mark.parametrize("name", ["oid", "XMIN", "ctid"])
def test_a_name_that_redshift_keeps_for_itself_is_told_with_what_helps(database, name):
    with pytest.raises(ConfigurationError, match=r"Redshift keeps for itself.*rename:"):
        database.write(pa.table({"id": [1], name: [1]}))


@pytest.mark.parametrize("name", ["growth%", "%s"])
def test_a_commit_whose_answer_was_lost_is_found_in_the_journal_of_any_name(faulty, faults, name):
    faults.cut_after_commit()
    data = pa.table({"id": [1]})
    result = faulty.write(data, name, mode=WriteMode.APPEND)
    assert result.details["commit"] == "confirmed on a second connection"
    assert read(faulty.settings, ReadRequest(faulty.table(name))).to_table().num_rows == 1
