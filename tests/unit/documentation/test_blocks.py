"""Every block that a page prints is held by a test: YAML by its schema, Python by running it, output by where it comes from."""

import ast
import importlib
import textwrap
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster.components.testing import create_defs_folder_sandbox
from documentation import CHECKOUT, Block, blocks, texts_of

import tranship.cli
from etl.definitions import defs as etl_definitions

COMPONENT = "type: tranship.replication.ReplicationComponent"
CHECKED_ELSEWHERE = {"sh": "test_commands.py", "console": "test_commands.py"}

OUTPUT = {
    ("README.md", "✓ Postgres on 127.0.0.1"): (
        "Postgres on", "SQL Server stand-in on", "sample warehouse at scale", "Code location loaded", "succeeded", "Rows read",
        "Checks passed", "The sensor looks which tables have", "Updated", "In table",
    ),
    ("docs/alerts.md", "2026-11-26 09:52:08,278 INFO"): ("Watching; tells",),
    ("docs/alerts.md", "🔴 Failed: staging/DimProduct"): ("Failed", "did not answer", "Since", "Open the run"),
    ("docs/alerts.md", "Subject: [Tranship]"): ("[Tranship]", "Loaded again", "The cause was: ", "Recovered", "Failed in"),
    ("docs/alerts.md", "🔴 Check failed: as_many_rows"): (
        "Check failed", "as_many_rows", "rows_in_copy", "rows_in_source", "Stale", "Last loaded", "it is to be loaded at least every",
        "Not working", "Dagster's daemon", "thread", "No sign of life for more than", "See the log of the daemon's container",
    ),
    ("docs/alerts.md", "Alerts for Slack are held back"): ("are held back and will be tried again: ", "answered", "Make a new webhook if this one is gone"),
    ("docs/vm.md", '{"audit": "change"'): ("audit", "change", "user", "role", "address", "operation", "mutations", "status", "errors", "answers"),
    ("docs/cli.md", "$ tranship init"): (
        "Tables of", "the database", "small enough to copy whole", "seems to say when a row was last changed", "the server itself moves",
        "could be followed by", "Nothing is loaded yet. Read the file",
    ),
    ("docs/cli.md", "$ tranship check"): (
        "The settings of", "cannot be used: ", "mode append needs a cursor", "Name the column that grows.", "would be copied to",
        "Give one of them another target or target_schema",
    ),
    ("docs/cli.md", "$ tranship bookmarks list"): ("updated (UTC)", "cursor"),
    ("docs/cli.md", "$ tranship bookmarks set"): (
        "The next load reads the rows of", "Rows that are read again take the place of those that are there.", "Move the bookmark?",
    ),
    ("docs/replication.md", "sales.Orders -> sales_copy.Orders"): (
        "rows; ", "the whole table", "it was never loaded", "from the bookmark", "by key",
    ),
    ("docs/replication.md", "sales.Orders is another source than"): ("is another source than", "was loaded from: ", "it is on the server", ", no longer on"),
    ("docs/replication.md", 'The key column "Code" of'): (
        "The key column", "has the value", "Which other texts", "is not known here, so a key that is spelled in",
        "Name another key; or load the table with mode: replace; or, where a key is never spelled in another way later, set key_comparison: bytes.",
    ),
    ("docs/replication.md", "sales.Wages is left out of"): ("is left out of the replication: ", "mode append needs a cursor"),
}  # fmt: skip
"""Output depends on data, times and ports. What it is made of has to stand in it, and in the code that says it."""
OUTPUT_OF_OTHERS = {
    ("docs/replication.md", "defs.yaml:31 - tranship.replication"): "the words of `dg check yaml`",
    (
        "docs/vm-install.md",
        "Your pipelines cannot",
    ): "as tests/unit/runs/test_own_pipelines.py has it",
    ("docs/vm-install.md", "This machine:"): "the words of ./stack, which tests/unit/vm asks for",
}
PICTURES = "mermaid"
"""Drawn by the reader's browser; `make lint` builds the site, which reads their fences."""

NOTHING = dg.ResourceDefinition.none_resource()
GIVEN: dict[str, dict[str, Any]] = {
    "docs/alerts.md": {"my_definitions": dg.Definitions()},
    "docs/redshift.md": {"orders": dg.AssetSpec("orders")},
}
"""What the words before a block say is there."""
RUN_AGAINST_SYSTEMS = {
    (
        "docs/library.md",
        "from tranship import KeyRange, PostgresResource, TableName, WriteRequest",
    ): "tests/integration/documentation/test_snippets.py",
    (
        "docs/library.md",
        "from tranship import Batches, TableName, WriteRequest",
    ): "tests/integration/documentation/test_snippets.py",
    (
        "docs/redshift.md",
        "from tranship.redshift.setup import set_up_bucket",
    ): "tests/integration/documentation/test_snippets.py",
    (
        "docs/replication.md",
        "from tranship import TableName",
    ): "tests/integration/replication/conftest.py",
}
"""Python that reaches a system, and what runs it, or the same calls; here its names are looked up."""


def known_as(block: Block) -> tuple[str, str]:
    return block.page, block.first_line


def names_of(block: Block) -> set[str]:
    """What a block imports; fails where a module or a name in it does not exist."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                imported.add(alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
    return imported


def check_component(tmp_path: Path, document: str) -> None:
    """What `tranship check` says of it is nothing."""
    path = tmp_path / "copies/defs.yaml"
    path.parent.mkdir()
    path.write_text(document)
    answer = CliRunner().invoke(tranship.cli.main, ["check", str(tmp_path)])
    assert answer.exit_code == 0, answer.output


def test_every_block_says_what_it_is():
    assert [str(block) for block in blocks() if not block.language] == []
    known = {"yaml", "python", "text", PICTURES, *CHECKED_ELSEWHERE}
    assert {block.language for block in blocks()} <= known


def output(page: str, start: str) -> Block:
    """The one block of output that begins so."""
    (block,) = [
        block
        for block in blocks("text", "console")
        if block.page == page and block.first_line.startswith(start)
    ]
    return block


def test_every_block_of_output_is_listed():
    listed = {str(output(*key)) for key in [*OUTPUT, *OUTPUT_OF_OTHERS]}
    assert listed == {str(block) for block in blocks("text", "console")}


@pytest.mark.parametrize("key", OUTPUT, ids=str)
def test_the_sentences_of_output_are_those_of_the_code(key: tuple[str, str]):
    shown = " ".join(output(*key).text.casefold().split())
    texts = texts_of("user_code/src/tranship", "localstack/demo")
    for phrase in map(str.casefold, OUTPUT[key]):
        assert phrase.strip() in shown
        assert any(phrase in text for text in texts), phrase


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_what_its_reader_takes(block: Block, tmp_path: Path):
    document = yaml.safe_load(block.text)
    if isinstance(document, list):  # entries of `tables`
        entries = textwrap.indent(textwrap.dedent(block.text), "    ")
        check_component(tmp_path, f"{COMPONENT}\nattributes:\n  tables:\n{entries}")
    elif "type" in document:
        check_component(tmp_path, block.text)
    else:
        check_run_configuration(document)


def check_run_configuration(document: dict[str, Any]) -> None:
    """What the launchpad takes: of the job of the stack, or of a load of the page's own example."""
    (op,) = document["ops"]
    if op == "wanted_tables":
        job = etl_definitions().resolve_job_def("run_etl_job")
        none = {**dict.fromkeys(job.resource_defs, NOTHING), "io_manager": dg.mem_io_manager}
        dg.validate_run_config(job.graph.to_job(resource_defs=none), document)
        return
    example, *_ = [
        block for block in blocks("yaml") if block.page == "docs/replication.md" and COMPONENT in block.text
    ]  # fmt: skip
    attributes = yaml.safe_load(example.text)["attributes"]
    attributes["tables"] = [entry for entry in attributes["tables"] if "*" not in entry["table"]]
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / "sales_copy"
        path.mkdir(parents=True)
        text = yaml.safe_dump({"type": COMPONENT.removeprefix("type: "), "attributes": attributes})
        (path / "defs.yaml").write_text(text)
        with sandbox.build_all_defs() as definitions:
            resources = dg.Definitions(resources={"sqlserver": NOTHING, "postgres": NOTHING})
            whole = dg.Definitions.merge(definitions, resources)
            job = whole.get_repository_def().get_implicit_job_def_for_assets(
                [dg.AssetKey(["sales_copy", "Orders"])]
            )
            assert job is not None
            dg.validate_run_config(job, document)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs(block: Block, monkeypatch: pytest.MonkeyPatch):
    compile(block.text, str(block), "exec")
    names_of(block)
    if known_as(block) in RUN_AGAINST_SYSTEMS:
        return
    monkeypatch.setenv("SLACK_WEBHOOK", "https://hooks.slack.com/services/T0/B0/x")
    namespace: dict[str, Any] = {"__name__": "printed", **GIVEN.get(block.page, {})}
    exec(compile(block.text, str(block), "exec"), namespace)
    if isinstance(made := namespace.get("defs"), dg.Definitions):
        dg.Definitions.validate_loadable(made)


def test_what_reaches_a_system_is_still_printed():
    assert {known_as(block) for block in blocks("python")} >= set(RUN_AGAINST_SYSTEMS)
    assert all((CHECKOUT / file).is_file() for file in RUN_AGAINST_SYSTEMS.values())
