import argparse
import json
from pathlib import Path

import pyarrow as pa
import pytest

from bench.environments import EnvironmentFailedError, pinned_version
from bench.options import SECTIONS, Options, parse
from bench.peers import Job
from bench.peers.ways import COPY_TO_POSTGRES, LOAD_POSTGRES, PUBLISH_REDSHIFT, READ_REDSHIFT
from bench.report import PAGE, replaced
from bench.shapes import SEED_ROWS, SHAPES, shape
from bench.source import address

BENCH = Path(PAGE).parents[1] / "bench"
ALL_WAYS = [*COPY_TO_POSTGRES, *LOAD_POSTGRES, *PUBLISH_REDSHIFT, *READ_REDSHIFT]


def test_every_peer_is_pinned_to_one_version():
    for requirements in (BENCH / "peers").glob("*.in"):
        lines = [line for line in requirements.read_text().splitlines() if line and line[0] != "#"]
        assert lines, requirements
        assert [line for line in lines if "==" not in line] == []


def test_every_way_has_a_title_with_the_version_that_runs():
    titles = {way.title for way in ALL_WAYS if way.peer != "tranship"}
    assert "dlt, pyarrow 1.31.0" in titles
    assert "sling 1.4.11" in titles


def test_a_package_that_is_not_pinned_has_no_version():
    with pytest.raises(EnvironmentFailedError, match=r"dlt\.in does not pin pandas"):
        pinned_version("dlt", "pandas")


def test_a_program_gets_its_job_by_the_environment_and_no_secret_by_its_arguments():
    job = Job(source="mssql+mssqlpython://u:hush@h/d", table="t", settings={"backend": "other"})
    command, environment = COPY_TO_POSTGRES[0].command(job)
    assert "hush" not in " ".join(command)
    sent = json.loads(environment["TRANSHIP_BENCH_JOB"])
    assert (sent["source"], sent["settings"]) == (job.source, {"backend": "other"})


def test_tranship_is_always_measured_and_peers_when_they_are_asked_for():
    asked = Options(peers=frozenset({"dlt"}))
    keys = [way.key for way in COPY_TO_POSTGRES if asked.wants(way) and not way.limit]
    assert keys == ["tranship", "dlt-pyarrow", "dlt-connectorx"]


def test_every_section_has_a_module_and_a_place_in_the_page():
    page = PAGE.read_text()
    for key in SECTIONS:
        assert (BENCH / "sections" / f"{key.replace('-', '_')}.py").exists()
        assert "text of it" in replaced(page, key, "text of it")


@pytest.mark.parametrize(
    ("text", "rows"), [("10k", 10_000), ("10M", 10_000_000), ("250_000", 250_000)]
)
def test_rows_can_be_written_short(text: str, rows: int):
    assert parse(["--rows", text]).rows == rows


@pytest.mark.parametrize("text", ["0", "1.5", "0.0001k"])
def test_half_rows_are_refused(text: str):
    with pytest.raises((SystemExit, argparse.ArgumentTypeError)):
        parse(["--rows", text])


@pytest.mark.parametrize("one", SHAPES, ids=lambda one: one.name)
def test_a_shape_has_the_rows_that_were_asked_for_with_keys_that_go_on(one):
    rows = SEED_ROWS + 10
    table = pa.Table.from_batches(list(one.batches(rows)))
    assert table.num_rows == rows
    assert table.column("Id").to_pylist() == list(range(1, rows + 1))
    assert table.schema.names == [name for name, _, _ in one.columns]
    again = pa.Table.from_batches(list(one.batches(rows)))
    assert table.equals(again)


def test_the_other_shapes_come_in_smaller_numbers_than_the_wide_one():
    names = ("wide", "narrow", "text", "lob")
    assert [shape(name).rows(1_000_000) for name in names] == [1_000_000, 250_000, 100_000, 10_000]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?Encrypt=no", "mssql://u:p@h:1/d?encrypt=disable"),
        ("", "mssql://u:p@h:1/d?encrypt=true"),
        (
            "?TrustServerCertificate=yes",
            "mssql://u:p@h:1/d?encrypt=true&TrustServerCertificate=true",
        ),
    ],
)
def test_a_source_is_spelled_as_ingestr_wants_it(query: str, expected: str):
    assert address(f"mssql+mssqlpython://u:p@h:1/d{query}", "mssql") == expected


def test_to_the_go_driver_a_database_is_an_option():
    url = "mssql+mssqlpython://u:p@h:1/d?Encrypt=no"
    assert address(url, "sqlserver") == "sqlserver://u:p@h:1?database=d&encrypt=disable"
