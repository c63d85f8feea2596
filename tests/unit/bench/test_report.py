import pytest

from bench.figures import Row, Run, Section, Table
from bench.measuring import reason, shortened
from bench.process import Usage
from bench.report import body, joined, replaced, seconds, table_text


def test_a_table_lists_ways_by_wall_time_then_the_wrong_ones_then_limits():
    rows = [
        Row("limit-drain", "limit: drain", [Run(0.5, 0.4, 90)], limit=True),
        Row("wrong", "wrong", [Run(0.1, 0.1, 10)], "wrong: 9 rows instead of 10"),
        Row("dlt", "dlt 1.31.0", [Run(22.5, 20.0, 700)]),
        Row("tranship", "tranship", [Run(2.25, 2.0, 160), Run(2.35, 2.0, 150)]),
        Row("sling", "sling 1.4.11", verdict="refused: no such type", note="a note"),
    ]
    lines = table_text(Table("10 rows", rows, 10)).splitlines()
    assert lines == [
        "**10 rows**",
        "",
        "| | wall s | client CPU s | peak MB | wall, x tranship | runs | result |",
        "|---|---:|---:|---:|---:|---:|---|",
        "| **tranship** | 2.30 | 2.00 | 160 | 1.0 | 2 | right |",
        "| dlt 1.31.0 | 22.5 | 20.0 | 700 | 9.8 | 1 | right |",
        "| sling 1.4.11 | | | | | | refused: no such type (a note) |",
        "| wrong | 0.10 | 0.10 | 10 |  | 1 | wrong: 9 rows instead of 10 |",
        "| limit: drain | 0.50 | 0.40 | 90 |  | 1 | right |",
    ]


def test_a_table_says_who_is_ahead():
    rows = [
        Row("tranship", "tranship", [Run(2.0, 1.0, 100)]),
        Row("adbc", "ADBC ingest", [Run(1.0, 2.0, 100)]),
    ]
    text = table_text(Table("10 rows", rows, 10))
    assert "Ahead of tranship here: ADBC ingest: wall time (2.0x)." in text


def test_a_section_names_the_machine_before_its_tables():
    section = Section(
        "k",
        "K",
        circumstances={"date": "2026-11-26", "processor": "2 cores", "source": "a server"},
        notes=["A note."],
    )
    assert body(section).splitlines() == ["2026-11-26; 2 cores; source: a server.", "", "A note."]


def test_only_the_text_between_a_sections_marks_is_replaced():
    page = (
        "before\n<!-- a -->\nold\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\nafter"
    )
    assert replaced(page, "a", "new\\1 text\n") == (
        "before\n<!-- a -->\nnew\\1 text\n\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\nafter"
    )


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="no place for memory"):
        replaced("nothing here", "memory", "text")


def test_seconds_have_the_digits_that_mean_something():
    assert [seconds(value) for value in (0.123, 9.994, 12.34)] == ["0.12", "9.99", "12.3"]


def failed(errors: str) -> Usage:
    return Usage(1.0, 1.0, 1.0, 1, "done so far", errors, False)


def test_a_refusal_is_the_last_line_that_tells_why():
    errors = (
        'Traceback\n  File "pyarrow/error.pxi", line 92\nValueError: no such type\nloaded 0 rows'
    )
    assert reason(failed(errors)) == "ValueError: no such type"


def test_a_program_that_says_nothing_is_known_by_its_exit_status():
    assert reason(Usage(1.0, 1.0, 1.0, 3, "", "", False)) == "it ended with 3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mfatal\x1b[0m: a | b", "fatal: a / b"),
        ("cannot reach postgresql://bench:hush@127.0.0.1/x", "cannot reach postgresql://bench:***@127.0.0.1/x"),
        ("bad string PWD=hush;Encrypt=no", "bad string PWD=***;Encrypt=no"),
        ("x" * 200, "x" * 160 + "..."),
    ],
)  # fmt: skip
def test_messages_lose_colours_and_secrets_and_length(text: str, expected: str):
    assert shortened(text) == expected


def test_tables_can_be_added_to_a_section_and_newer_ones_take_the_place_of_older():
    old = Section("k", "K", [Table("a", [], 1), Table("b", [], 1)], notes=["old"])
    new = Section("k", "K", [Table("b", [], 2)], notes=["new"])
    assert joined(new, old) == Section(
        "k", "K", [Table("b", [], 2), Table("a", [], 1)], notes=["new"]
    )
