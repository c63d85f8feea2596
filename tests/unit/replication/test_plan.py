"""What settings come to: defaults, patterns, and contradictions that are found before anything runs."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tranship.delete_flags import DeleteFlag
from tranship.errors import ConfigurationError
from tranship.history import HistoryNames
from tranship.reads import OnNul
from tranship.replication.config import (
    ColumnSettings,
    DeleteFlagSettings,
    PartitionSettings,
    TableSettings,
    Tuning,
    merged,
)
from tranship.replication.plan import (
    CHUNK_ROWS,
    Mode,
    OnDelete,
    TablePlan,
    default_target,
    table_plan,
)
from tranship.replication.planned_tables import (
    check_targets,
    expand,
    history_in_the_way,
    is_pattern,
    like_named,
)
from tranship.tables import TableName
from tranship.writes import OnSchemaChange

PRESENT = [
    TableName("dbo", "DimDate"),
    TableName("dbo", "DimProduct"),
    TableName("dbo", "Fact"),
    TableName("sales", "Order Details"),
]


def plan(**settings: Any) -> TablePlan:
    return TablePlan(TableName("dbo", "A"), TableName("staging", "A"), **settings)


# ---- defaults ----


def test_a_table_wins_over_the_defaults_and_what_it_leaves_out_comes_from_them() -> None:
    defaults = Tuning(mode="merge", cursor="ModifiedDate", parallel=2, tags={"team": "sales"})
    made = merged(defaults, TableSettings(table="dbo.A", cursor="Id"))
    assert (made.mode, made.cursor, made.parallel, made.tags) == (
        "merge",
        "Id",
        2,
        {"team": "sales"},
    )


def test_a_default_is_none_for_tables_whose_mode_has_no_use_for_it() -> None:
    defaults = Tuning(mode="merge", cursor="ModifiedDate", lookback="1 day", delete="mark")
    made = merged(defaults, TableSettings(table="dbo.A", mode="replace"))
    assert (made.mode, made.cursor, made.lookback, made.delete) == ("replace", None, None, None)
    assert table_plan(made, TableName("dbo", "A"), "staging").mode == "replace"


@pytest.mark.parametrize(
    ("defaults", "own", "expected"),
    [
        ({"mode": "merge", "cursor": "Id", "lookback": 1}, {"changes": "tracking"}, ("tracking", None, None)),
        ({"mode": "merge", "changes": "tracking", "on_gap": "fail"}, {"cursor": "Id"}, (None, "Id", None)),
        ({"mode": "merge", "changes": "tracking", "on_gap": "fail"}, {}, ("tracking", None, "fail")),
        ({"mode": "merge", "cursor": "Id", "lookback": 1}, {"changes": "cdc"}, ("cdc", None, None)),
        ({"mode": "merge", "changes": "cdc", "on_gap": "fail"}, {"changes": "tracking"}, ("tracking", None, "fail")),
        ({"mode": "merge", "changes": "tracking", "on_gap": "fail"}, {"mode": "replace"}, (None, None, None)),
        ({"mode": "merge", "cursor": "Id"}, {}, (None, "Id", None)),
        ({"mode": "merge", "changes": "auto", "on_gap": "fail"}, {"cursor": "Id"}, ("auto", "Id", "fail")),
        ({"mode": "merge", "cursor": "Id"}, {"changes": "auto"}, ("auto", "Id", None)),
    ],
)  # fmt: skip
def test_a_table_follows_a_cursor_or_a_record_of_changes(
    defaults: dict[str, Any], own: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    settings = merged(Tuning(**defaults), TableSettings(table="dbo.A", **own))
    assert (settings.changes, settings.cursor, settings.on_gap) == expected
    assert settings.lookback is None
    table_plan(settings, TableName("dbo", "A"), "copies")


def test_merging_changes_neither_the_defaults_nor_the_table() -> None:
    defaults, table = Tuning(mode="merge"), TableSettings(table="dbo.A", key=["id"])
    merged(defaults, table)
    assert defaults == Tuning(mode="merge")
    assert table == TableSettings(table="dbo.A", key=["id"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "upsert"}, "'replace', 'append', 'merge' or 'partition'"),
        ({"curser": "id"}, "Extra inputs are not permitted"),
        ({"columns": {"mask": {"Email": "md5"}}}, "'hash' or 'redact'"),
        ({"delete": "hard"}, "'ignore', 'mark' or 'remove'"),
    ],
)
def test_a_setting_that_is_none_says_what_is_allowed(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TableSettings.model_validate({"table": "dbo.A"} | settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"parallel": 0}, "parallel is 0. Give 1 to 16: each is a connection."),
        ({"parallel": 17}, "parallel is 17. Give 1 to 16"),
        ({"chunk_rows": 0}, "chunk_rows is 0. Give 1 or more."),
    ],
)
def test_a_number_out_of_range_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plan(**settings)


MERGE = {"mode": "merge", "key": ["Id"]}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (MERGE | {"cursor": "At", "lookback": "1 dya"}, "lookback of dbo.A is '1 dya', which is no span of time"),
        (MERGE | {"cursor": "At", "lookback": "-3"}, "'-3', which is no span of time"),
        ({"columns": {"include": ["A", "B"], "exclude": ["B"]}}, "B is both in include and in exclude"),
        (MERGE | {"columns": {"exclude": ["Id"]}}, '"Id" is left out, but it is part of the key'),
        (MERGE | {"columns": {"include": ["Name"]}}, '"Id" is left out, but it is part of the key'),
        (MERGE | {"columns": {"mask": {"Id": "redact"}}}, r'"Id" does not arrive as it is \(redact\)'),
        (MERGE | {"chunk_column": "No", "columns": {"mask": {"No": "hash"}}}, r"\(hash\), but it is what chunks are cut by"),
        ({"mode": "partition", "partitions": {"column": "Day"}, "columns": {"cast": {"Day": "date"}}}, r"\(cast\), but it is what the table is part"),
    ],
)  # fmt: skip
def test_settings_of_columns_that_contradict_others_are_refused_unread(
    settings: dict[str, Any], words: str
) -> None:
    """Without a look at the source, as `tranship check` has it."""
    with pytest.raises(ConfigurationError, match=words):
        table_plan(TableSettings(table="dbo.A", **settings), TableName("dbo", "A"), "staging")


@pytest.mark.parametrize("lookback", [0, 1000, "1000", "2 hours"])
def test_keys_may_be_hashed_or_cast_and_a_lookback_is_a_number_or_a_span(
    lookback: int | str,
) -> None:
    columns = ColumnSettings(mask={"Id": "hash"}, cast={"Id": "nvarchar(40)"})
    table_plan(TableSettings(table="dbo.A", cursor="At", lookback=lookback, columns=columns, **MERGE), TableName("dbo", "A"), "staging")  # fmt: skip


def test_a_plan_without_settings_replaces_the_whole_table() -> None:
    made = table_plan(TableSettings(table="dbo.A"), TableName("dbo", "A"), "staging")
    assert made == plan()
    assert made.chunk_rows == CHUNK_ROWS
    assert not made.is_incremental


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "append", "cursor": "c", "changes": "auto"}, "changes auto brings changed rows by key"),
        ({"mode": "merge", "cursor": "c", "on_gap": "fail"}, "on_gap is about a record of changes"),
        ({"mode": "merge", "delete_flag": {"column": "gone"}}, "nothing is done with those"),
        ({"mode": "append", "cursor": "c", "delete": "mark", "delete_flag": {"column": "gone"}}, "mode append brings no changes"),
    ],
)  # fmt: skip
def test_settings_about_changes_that_contradict_each_other_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    made = TableSettings(table="dbo.A", **settings)
    with pytest.raises(ConfigurationError, match=words):
        table_plan(made, TableName("dbo", "A"), "copies")


def test_a_plan_has_every_setting_of_its_table() -> None:
    settings = TableSettings(
        table="sales.Order Details",
        target="lines",
        mode="merge",
        key=["a", "b"],
        cursor="c",
        lookback="1 day",
        columns=ColumnSettings(exclude=["d"]),
        where="a > 1",
        delete_flag=DeleteFlagSettings(column="gone", value=1),
        parallel=3,
        chunk_rows=7,
        chunk_column="a",
        on_schema_change="evolve",
        delete="mark",
        on_nul="strip",
    )
    made = table_plan(settings, TableName("sales", "Order Details"), "staging")
    assert made == TablePlan(
        TableName("sales", "Order Details"),
        TableName("staging", "lines"),
        mode=Mode.MERGE,
        key=("a", "b"),
        cursor="c",
        lookback="1 day",
        columns=ColumnSettings(exclude=["d"]),
        where="a > 1",
        delete_flag=DeleteFlag("gone", 1),
        parallel=3,
        chunk_rows=7,
        chunk_column="a",
        on_schema_change=OnSchemaChange.EVOLVE,
        delete=OnDelete.MARK,
        on_nul=OnNul.STRIP,
    )


# ---- names ----


@pytest.mark.parametrize(
    ("source", "target"),
    [(TableName("dbo", "A"), "A"), (TableName("sales", "Order Details"), "sales_Order Details")],
)
def test_a_copy_is_called_like_its_source(source: TableName, target: str) -> None:
    assert default_target(source) == target


def test_two_tables_are_not_copied_to_one() -> None:
    one = TablePlan(TableName("dbo", "A_b"), TableName("staging", "A_b"))
    other = TablePlan(TableName("A", "b"), TableName("staging", "A_b"))
    check_targets([one])
    with pytest.raises(
        ConfigurationError, match=r"dbo\.A_b and A\.b would both be copied to .* with target"
    ):
        check_targets([one, other])


def test_targets_whose_names_differ_by_case_know_of_each_other() -> None:
    plans = [
        TablePlan(TableName("dbo", name), TableName("staging", name)) for name in ("A", "a", "B")
    ]
    check_targets(plans)
    upper, lower = TableName("staging", "A"), TableName("staging", "a")
    assert like_named(plans) == {upper: frozenset({lower}), lower: frozenset({upper})}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "sales_OrderLines"),
        ({"names": "keep"}, "sales_OrderLines"),
        ({"names": "lower"}, "sales_orderlines"),
        ({"names": "snake"}, "sales_order_lines"),
        ({"target": "{schema}__{table}"}, "sales__OrderLines"),
        ({"target": "src_{table}", "names": "snake"}, "src_order_lines"),
        ({"target": "As It Stands", "names": "snake"}, "As It Stands"),
        ({"target": "a]b.c"}, "a]b.c"),
    ],
)
def test_a_target_is_called_as_its_settings_say(settings: dict[str, Any], expected: str) -> None:
    made = merged(Tuning(**settings), TableSettings(table="sales.OrderLines"))
    assert table_plan(made, TableName("sales", "OrderLines"), "copy").target == TableName(
        "copy", expected
    )


def test_a_placeholder_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"has \{tabel\}, which stands for nothing.*\{schema\} and \{table\}",
    ):
        table_plan(TableSettings(table="A", target="{tabel}"), TableName("dbo", "A"), "copy")


# ---- patterns ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dbo.Dim*", True),
        ("dbo.?", True),
        ("dbo.[DF]im", True),
        ("dbo.A", False),
        ("[dbo].[a*]", False),
        ("dbo.[a*]", False),
        ("dbo.[Order Details]", False),
        ("*.[Order Details]", True),
    ],
)
def test_what_a_pattern_is(text: str, expected: bool) -> None:
    assert is_pattern(text) is expected


def test_an_entry_of_its_own_wins_over_a_pattern_wherever_it_stands() -> None:
    for entries in (
        [
            TableSettings(table="dbo.Dim*", mode="append"),
            TableSettings(table="dbo.DimDate", mode="merge"),
        ],
        [
            TableSettings(table="dbo.DimDate", mode="merge"),
            TableSettings(table="dbo.Dim*", mode="append"),
        ],
    ):
        found = expand(entries, Tuning(parallel=2), PRESENT)
        assert {name.name: settings.mode for name, settings in found.items()} == {
            "DimDate": "merge",
            "DimProduct": "append",
        }
        assert {settings.parallel for settings in found.values()} == {2}


def test_a_pattern_leaves_out_what_it_excludes() -> None:
    found = expand([TableSettings(table="*.*", exclude=["dbo.Dim*", "Fact"])], Tuning(), PRESENT)
    assert list(found) == [TableName("sales", "Order Details")]


def test_a_table_without_pattern_is_taken_without_asking_the_source() -> None:
    assert list(expand([TableSettings(table="[sales].[Order Details]")], Tuning(), [])) == [
        TableName("sales", "Order Details")
    ]
    assert list(expand([TableSettings(table="A")], Tuning(), [])) == [TableName("dbo", "A")]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (["dbo.Fact", "Fact"], "dbo.Fact stands twice in the configuration"),
        (
            ["dbo.Dim*", "dbo.*Date"],
            r"dbo.DimDate matches both dbo.Dim\* and dbo.\*Date. Exclude it from one",
        ),
    ],
)
def test_two_entries_about_one_table_are_refused(tables: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        expand([TableSettings(table=table) for table in tables], Tuning(), PRESENT)


def test_a_pattern_may_have_a_part_in_brackets_which_is_taken_as_it_is() -> None:
    present = [TableName("a.b", "x*y"), TableName("a", "b.x*y"), TableName("a.b", "xzy")]
    found = expand([TableSettings(table="*.[x*y]")], Tuning(), present)
    assert list(found) == [TableName("a.b", "x*y")]


def test_a_misspelled_exclusion_is_no_error_and_a_pattern_may_match_nothing() -> None:
    assert expand([TableSettings(table="hr.*", exclude=["hr.Wages"])], Tuning(), PRESENT) == {}


# ---- contradictions ----

DAILY = PartitionSettings(column="at", every="day", start="2024-01-01")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": Mode.APPEND}, "mode append needs a cursor. Name the column that grows"),
        ({"mode": Mode.PARTITION}, "mode partition and partitions go together.*Set both, or neither"),
        ({"partitions": DAILY}, "mode partition and partitions go together"),
        ({"cursor": "id"}, "mode replace has no use for the cursor id. Set mode to merge or append"),
        ({"mode": Mode.PARTITION, "partitions": DAILY, "cursor": "id"}, "mode partition has no use for"),
        ({"delete": OnDelete.MARK}, "mode replace keeps no rows that are gone.*Leave delete out"),
        ({"mode": Mode.MERGE, "lookback": 5}, "lookback needs a cursor. Name the cursor, or leave"),
        ({"mode": Mode.MERGE, "lookback": 0}, "lookback needs a cursor"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"The settings of dbo.A cannot be used: {words}"):
        plan(**settings)


# ---- history ----


def test_a_history_is_called_after_its_copy_or_as_its_settings_say() -> None:
    def names(**settings: Any) -> HistoryNames | None:
        made = merged(Tuning(history=True), TableSettings(table="sales.Orders", **settings))
        return table_plan(made, TableName("sales", "Orders"), "copies").history

    assert names() == HistoryNames(TableName("copies", "sales_Orders_history"))
    assert names(target="orders") == HistoryNames(TableName("copies", "orders_history"))
    assert names(history=False) is None
    given = {"table": "{table}_versions", "valid_from": "since", "is_current": "holds"}
    assert names(history=given) == HistoryNames(
        TableName("copies", "sales_Orders_versions"), "since", "valid_to", "holds"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"table": "{schema}_h"}, r"The history of s.A is to be called '{schema}_h', which has {schema}."),
        ({"table": ""}, "which has nothing"),
        ({"table": "{table}"}, "its history would be s.A, as its copy is"),
        ({"valid_to": "Valid_From"}, "would be called valid_from, Valid_From, is_current"),
    ],
)  # fmt: skip
def test_a_history_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    made = TableSettings.model_validate({"table": "dbo.A", "history": settings})
    with pytest.raises(ConfigurationError, match=words):
        table_plan(made, TableName("dbo", "A"), "s")


def test_marks_have_no_place_where_the_history_stands_alone() -> None:
    alone = HistoryNames(TableName("staging", "A_history"), instead_of_copy=True)
    with pytest.raises(ConfigurationError, match="Set delete to remove, which ends their versions"):
        plan(history=alone, mode=Mode.MERGE, delete=OnDelete.MARK)


def test_a_history_in_the_place_of_another_copy_or_history_is_told() -> None:
    copied = plan(history=HistoryNames(TableName("staging", "b")))
    other = TablePlan(TableName("dbo", "B"), TableName("staging", "B"))
    error = history_in_the_way(copied, [copied, other])
    assert str(error) == (
        "dbo.A would have its history in staging.b, where dbo.B is copied. Give the history another name: history: {table: ...}."
    )
    rival = replace(other, target=TableName("staging", "C"), history=copied.history)
    assert "where dbo.B has its history" in str(history_in_the_way(copied, [rival, copied]))
    assert history_in_the_way(other, [copied, other]) is None
