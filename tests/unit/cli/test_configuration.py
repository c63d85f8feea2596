"""The YAML that `tranship init` writes: it says what was proposed, and the engine takes every word of it."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from tranship.cli.configuration import Replication, as_yaml
from tranship.cli.heuristics import LARGE_ROWS, VERY_LARGE_ROWS
from tranship.cli.proposals import propose, written_name
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.plan import TablePlan, table_plan
from tranship.replication.planned_tables import check_targets, expand
from tranship.tables import TableName


def plans_of(text: str) -> dict[TableName, TablePlan]:
    """The plans of a YAML, made as the component makes them."""
    document: dict[str, Any] = yaml.safe_load(text)
    assert set(document) == {"type", "attributes"}
    attributes = document["attributes"]
    assert set(attributes) == {"source", "target", "target_schema", "defaults", "tables"}
    entries = [TableSettings(**entry) for entry in attributes["tables"]]
    settings = expand(entries, Tuning(**attributes["defaults"]), [])
    plans = {
        source: table_plan(of_table, source, attributes["target_schema"])
        for source, of_table in settings.items()
    }
    check_targets(list(plans.values()))
    return plans


def uncommented(text: str, first: str, lines: int) -> str:
    """The text with a commented setting switched on, as a person does it in an editor."""
    made, left = [], 0
    for line in text.splitlines():
        if line.strip().startswith(f"# {first}"):
            left = lines
        made.append(line.replace("# ", "", 1) if left > 0 else line)
        left -= 1
    return "\n".join(made)


def test_every_kind_of_entry_becomes_a_plan(make_table):
    tables = [
        make_table("dbo.Small", rows=3, Id="int not null"),
        make_table("dbo.Versioned", Id="int not null", V="rowversion not null"),
        make_table("sales.Changed", Id="int not null", ModifiedDate="datetime2(3) not null"),
        make_table("dbo.Log", rows=LARGE_ROWS, identity=("Id",), Id="bigint not null"),
        make_table("dbo.Places", Id="int not null", Where="geography", Odd="my_own_type"),
        make_table("dbo.Keyless", key=(), At="datetime"),
    ]
    text = as_yaml(Replication("somewhere"), [propose(table) for table in tables])
    plans = plans_of(text)
    assert [(str(plan.source), str(plan.target), str(plan.mode), plan.cursor) for plan in plans.values()] == [
        ("dbo.Small", "staging.Small", "replace", None),
        ("dbo.Versioned", "staging.Versioned", "merge", "V"),
        ("sales.Changed", "staging.sales_Changed", "merge", "ModifiedDate"),
        ("dbo.Log", "staging.Log", "append", "Id"),
        ("dbo.Places", "staging.Places", "replace", None),
        ("dbo.Keyless", "staging.Keyless", "replace", None),
    ]  # fmt: skip
    places = plans[TableName("dbo", "Places")].columns
    assert (places.cast, places.exclude) == ({"Where": "nvarchar(max)"}, ["Odd"])


@pytest.mark.parametrize(
    "name",
    [
        TableName("dbo", "Order Details"),
        TableName("dbo", "Order.Details"),
        TableName("dbo", "a]b[c*?"),
        TableName("No", "yes"),
        TableName("my schema", "x: y # z"),
        TableName("dbo", "Größe"),
        TableName("dbo", "1"),
    ],
)
def test_odd_names_arrive_as_they_are(make_table, name: TableName):
    odd = 'it\'s: [odd] # "quoted"\n- no'
    table = make_table(
        "dbo.X", Id="int not null", V="rowversion", **{odd: "geography", "no": "my_own_type"}
    )
    table = replace(table, name=name, estimated_rows=50_000)
    plan = plans_of(as_yaml(Replication("somewhere"), [propose(table)]))[name]
    assert (plan.source, plan.columns.exclude) == (name, ["no"])
    assert plan.columns.cast == {odd: "nvarchar(max)"}


def test_what_a_database_says_cannot_break_out_of_a_comment(make_table):
    hostile = 'line one\n      mode: merge\r\u2028tables: []\x00\x07 "x"'
    table = make_table("dbo.T", rows=3, Id="int not null", comment=hostile)
    text = as_yaml(Replication(f"a database {hostile}"), [propose(table)])
    (plan,) = plans_of(text).values()
    assert str(plan.mode) == "replace"
    entry = yaml.safe_load(text)["attributes"]["tables"][0]
    assert entry["description"].startswith("line one mode: merge")


def test_a_comment_of_the_database_is_no_template_to_dagster(make_table):
    table = make_table("dbo.T", Id="int not null", comment="{{ env.SECRET }} {% raw %} {# #} {x}")
    text = as_yaml(Replication("somewhere"), [propose(table)])
    entry = yaml.safe_load(text)["attributes"]["tables"][0]
    assert entry["description"] == "{ { env.SECRET }} { % raw %} { # #} {x}"


def test_a_table_without_a_column_that_can_be_moved_is_left_out(make_table):
    tables = [make_table("dbo.Odd", Id="my_own_type"), make_table("dbo.T", Id="int not null")]
    text = as_yaml(Replication("somewhere"), [propose(table) for table in tables])
    assert list(plans_of(text)) == [TableName("dbo", "T")]
    assert "# Left out: none of its columns can be moved." in text


def test_only_personal_data_is_masked_once_its_comment_is_switched_on(make_table):
    columns = {"Id": "int not null", "Email": "nvarchar(50)", "Last Name": "nvarchar(50)"}
    for extra, first, lines in (({}, "columns:", 4), ({"Place": "geography"}, "mask:", 3)):
        proposal = propose(make_table("dbo.T", **columns, **extra))
        text = as_yaml(Replication("somewhere"), [proposal])
        (plan,) = plans_of(text).values()
        assert plan.columns.mask == {}
        (switched_on,) = plans_of(uncommented(text, first, lines)).values()
        assert switched_on.columns.mask == {"Email": "hash", "Last Name": "hash"}
        assert list(switched_on.columns.cast) == list(extra)


def test_the_commented_settings_are_good_ones(make_table):
    table = make_table(rows=VERY_LARGE_ROWS, Id="bigint not null", OrderDate="date not null")
    text = as_yaml(Replication("somewhere"), [propose(table)])
    assert "# So large a table can be loaded and reloaded by partitions" in text
    assert "# partitions:" in text
    switched_on = uncommented(text, "partitions:", 4).replace(
        "  mode: replace\n", "  mode: partition\n"
    )
    document = yaml.safe_load(switched_on)["attributes"]
    (entry,) = document["tables"]
    settings = TableSettings(**entry)
    assert settings.partitions is not None
    assert settings.partitions.model_dump(exclude_defaults=True) == {
        "column": "OrderDate",
        "every": "month",
        "start": "2020-01-01",
    }
    assert str(table_plan(settings, table.name, "staging").mode) == "partition"

    merged = make_table(Id="int not null", V="rowversion not null")
    text = as_yaml(Replication("somewhere"), [propose(merged)])
    (plan,) = plans_of(uncommented(text, "delete:", 1)).values()
    assert str(plan.delete) == "mark"
    for setting in ("schedule:", "timezone:", "freshness:"):
        text = uncommented(text, setting, 1)
    defaults = yaml.safe_load(text)["attributes"]["defaults"]
    assert Tuning(**defaults).schedule == "@daily"


def test_the_facts_of_a_table_stand_above_its_entry(make_table):
    table = make_table(Id="int not null", V="rowversion not null")
    text = as_yaml(Replication("somewhere"), [propose(table, size_bytes=12_345_678)])
    assert (
        "    # dbo.Orders: about 50,000 rows; 12.3 MB; key Id; could be followed by V (rowversion).\n"
        "    # merge: the server itself moves the rowversion V with every change.\n"
        "    - table: dbo.Orders\n"
    ) in text
    unknown = make_table(rows=None, Id="int not null")
    assert "# dbo.Orders: rows unknown; key Id." in as_yaml(Replication("s"), [propose(unknown)])


def test_an_entry_is_found_under_the_name_that_is_written_for_it():
    for name in (TableName("dbo", "DimDate"), TableName("a.b", "c]d")):
        assert TableName.parse(written_name(name), default_schema="other") == name
