"""Which mode is proposed for which table, and why."""

from dataclasses import replace

import pytest

from tranship.cli.heuristics import LARGE_ROWS, SMALL_ROWS, VERY_LARGE_ROWS
from tranship.cli.proposals import names_in_target, offered_statements, propose
from tranship.replication.plan import Mode
from tranship.sqlserver.catalogue import is_local_clock
from tranship.systems import ChangeRecord


def test_a_rowversion_is_followed_by_merging(make_table):
    proposal = propose(
        make_table(Id="int not null", ModifiedDate="datetime2(7) not null", V="rowversion not null")
    )
    assert (proposal.mode, proposal.cursor, proposal.caveats) == (Mode.MERGE, "V", ())
    assert proposal.reason == "the server itself moves the rowversion V with every change"
    assert [str(candidate) for candidate in proposal.candidates] == [
        "V (rowversion)",
        "ModifiedDate (changed)",
    ]


def test_a_column_that_says_when_rows_were_changed_is_followed_with_a_warning(make_table):
    proposal = propose(make_table(Id="int not null", ModifiedDate="datetime"))
    assert (proposal.mode, proposal.cursor) == (Mode.MERGE, "ModifiedDate")
    trust, missing = proposal.caveats
    assert "changes that leave it alone are never copied" in trust
    assert missing == "Rows without a value in ModifiedDate are read by every load."


@pytest.mark.parametrize(
    ("type_", "default", "warns"),
    [
        ("datetime not null", "(getdate())", True),
        ("datetime2(3) not null", "(sysdatetime())", True),
        ("datetime2(3) not null", "(CURRENT_TIMESTAMP)", True),
        ("datetime2(3) not null", "(getutcdate())", False),
        ("datetimeoffset(3) not null", "(sysdatetimeoffset())", False),
        ("datetime not null", None, False),
    ],
)
def test_a_clock_that_goes_back_in_autumn_is_told_of(make_table, type_, default, warns):
    table = make_table(Id="int not null", ModifiedDate=type_)
    defaults = {} if default is None else {"ModifiedDate": default}
    clocks = ("ModifiedDate",) if is_local_clock(default) else ()
    caveats = propose(replace(table, defaults=defaults, local_clocks=clocks)).caveats
    assert any("an hour comes twice in autumn" in caveat for caveat in caveats) is warns


def test_a_time_is_followed_rather_than_a_date(make_table):
    proposal = propose(
        make_table(
            Id="int not null", UpdatedDate="date not null", UpdatedAt="datetime2(3) not null"
        )
    )
    assert proposal.cursor == "UpdatedAt"


def test_new_rows_alone_are_read_only_of_a_large_table_that_numbers_them(make_table):
    columns = {"Id": "bigint not null", "Note": "nvarchar(50)"}
    large = propose(make_table(rows=LARGE_ROWS, identity=("Id",), **columns))
    assert (large.mode, large.cursor) == (Mode.APPEND, "Id")
    assert large.reason == "large, Id numbers new rows, and nothing tells which rows were changed"
    assert "keep their old values in the copy" in large.caveats[0]

    smaller = propose(make_table(rows=LARGE_ROWS - 1, identity=("Id",), **columns))
    assert (smaller.mode, smaller.cursor) == (Mode.REPLACE, None)
    assert smaller.reason == "nothing tells which rows were changed, so all of them are read"
    assert smaller.caveats == (
        "If rows are only ever added, mode append with the cursor Id reads the new ones alone.",
    )


def test_a_small_table_is_copied_whole_whatever_columns_it_has(make_table):
    columns = {"Id": "int not null", "V": "rowversion not null"}
    small = propose(make_table(rows=SMALL_ROWS, **columns))
    assert (small.mode, small.cursor) == (Mode.REPLACE, None)
    assert small.reason == "small enough to copy whole, deleted rows included"
    assert small.caveats == ("Should it grow: mode merge with the cursor V.",)
    assert propose(make_table(rows=SMALL_ROWS, **columns), small_rows=0).mode is Mode.MERGE


def test_a_table_of_unknown_size_is_not_taken_for_small(make_table):
    unknown = make_table(rows=None, Id="int not null", V="rowversion not null")
    assert propose(unknown).mode is Mode.MERGE


def test_a_table_without_key_is_copied_whole_even_with_a_rowversion(make_table):
    proposal = propose(
        make_table(
            rows=LARGE_ROWS,
            key=(),
            Number="bigint not null",
            V="rowversion not null",
            identity=("Number",),
        )
    )
    assert (proposal.mode, proposal.key) == (Mode.REPLACE, ())
    assert proposal.reason == "it has no primary key, so rows cannot be told apart"
    assert proposal.caveats[1] == (
        "If rows are only ever added, mode append with the cursor Number needs no key."
    )


def test_columns_that_cannot_be_moved_are_read_as_text_or_left_out(make_table):
    proposal = propose(
        make_table(
            Id="int not null",
            Place="geography",
            Node="hierarchyid",
            Any="sql_variant",
            Embedding="my_own_type",
        )
    )
    assert dict(proposal.cast) == {
        "Place": "nvarchar(max)",
        "Node": "nvarchar(4000)",
        "Any": "nvarchar(4000)",
    }
    assert proposal.exclude == ("Embedding",)


def test_a_key_that_cannot_be_moved_is_none(make_table):
    proposal = propose(make_table(Id="my_own_type not null", V="rowversion not null"))
    assert (proposal.mode, proposal.key, proposal.exclude) == (Mode.REPLACE, (), ("Id",))
    assert proposal.reason.startswith("it has no primary key whose columns can be moved")


@pytest.mark.parametrize(
    ("rows", "column"), [(VERY_LARGE_ROWS, "OrderDate"), (VERY_LARGE_ROWS - 1, None)]
)
def test_partitions_are_thought_of_for_a_very_large_table_with_a_date(make_table, rows, column):
    proposal = propose(
        make_table(
            rows=rows,
            Id="bigint not null",
            BirthDate="date not null",
            ModifiedDate="datetime not null",
            PaidOn="date",
            OrderDate="date not null",
        )
    )
    assert (proposal.mode, proposal.partition_column) == (Mode.MERGE, column)


def test_personal_data_is_named_but_no_flag_and_no_cursor(make_table):
    proposal = propose(
        make_table(
            "dbo.Person",
            Id="int not null",
            LastName="nvarchar(50)",
            Email="nvarchar(50)",
            EmailOptIn="bit",
            Address="xml",
        )
    )
    assert proposal.personal == ("LastName", "Email", "Address")


def test_tables_that_would_take_each_others_name_get_one_of_their_own(make_table):
    proposals = [
        propose(make_table(name, Id="int not null"))
        for name in ("dbo.Orders", "dbo.ORDERS", "dbo.sales_Orders", "sales.Orders", "dbo.Dates")
    ]
    assert {str(table): name for table, name in names_in_target(proposals).items()} == {
        "dbo.ORDERS": "dbo_ORDERS",
        "sales.Orders": "sales_Orders_2",
    }


TRACKED = ChangeRecord(is_readable=True)
OFFERED = ChangeRecord(
    statements=(
        "alter database current set change_tracking = on",
        "alter table [dbo].[Orders] enable change_tracking",
    )
)


@pytest.mark.parametrize("rows", [SMALL_ROWS, VERY_LARGE_ROWS, None])
def test_a_record_of_changes_is_followed_before_any_column(make_table, rows):
    table = make_table(rows=rows, Id="int not null", V="rowversion not null")
    proposal = propose(replace(table, change_record=TRACKED))
    assert (proposal.mode, proposal.cursor, proposal.follows_record) == (Mode.MERGE, None, True)
    assert proposal.reason == "the source itself records what changes, deletions too"
    assert (proposal.caveats, proposal.offered) == ((), ())


def test_a_record_of_changes_is_not_followed_by_a_key_that_is_read_as_another_type(make_table):
    table = make_table(key=("Node",), Node="hierarchyid not null", V="rowversion not null")
    proposal = propose(replace(table, change_record=TRACKED))
    assert (proposal.cursor, proposal.follows_record) == ("V", False)


def test_where_a_record_could_be_kept_its_statements_are_offered(make_table):
    table = make_table(Id="int not null", V="rowversion not null")
    proposal = propose(replace(table, change_record=OFFERED))
    assert (proposal.cursor, proposal.offered) == ("V", OFFERED.statements)
    assert "changes: tracking" in proposal.caveats[-1]
    small = propose(replace(table, change_record=OFFERED, estimated_rows=SMALL_ROWS))
    assert small.offered == ()
    assert offered_statements([small, proposal, proposal]) == list(OFFERED.statements)


def test_why_no_record_can_be_kept_is_said(make_table):
    refused = ChangeRecord(refusal="It is partitioned.")
    table = make_table(Id="int not null")
    assert "It is partitioned." in propose(replace(table, change_record=refused)).caveats
    keyless = make_table(key=(), At="datetime")
    assert "It is partitioned." in propose(replace(keyless, change_record=refused)).caveats
    small = propose(replace(table, change_record=refused, estimated_rows=1))
    assert small.caveats == ()
