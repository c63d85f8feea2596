"""How the commands answer before any server is asked: help, wrong usage, and refusals in one sentence."""

import socket
from pathlib import Path

import pytest

UNKNOWN = "mssql+mssqlpython://sa:hunter2@127.0.0.1:{port}/dw"


@pytest.fixture
def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_help_lists_the_commands(run):
    answer = run("--help")
    assert answer.exit_code == 0
    assert "init " in answer.output
    assert "bookmarks " in answer.output
    for command in (["init"], ["bookmarks", "list"], ["bookmarks", "set"], ["bookmarks", "reset"]):
        assert run(*command, "--help").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["init", "--target", "oracle"],
        ["init", "--small-rows", "-1"],
        ["init", "--nonsense"],
        ["bookmarks", "show"],
        ["bookmarks", "set", "staging.Orders"],
        ["bookmarks", "list", "--target", "mysql"],
    ],
)
def test_wrong_usage_ends_with_2(run, arguments: list[str]):
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert "Usage:" in answer.output


def test_a_file_that_is_there_is_not_overwritten(run):
    Path("mine.yaml").write_text("precious")
    answer = run("init", "--output", "mine.yaml")
    assert answer.exit_code == 1
    assert answer.output == (
        "Error: mine.yaml is there already, and may have been edited. Give another --output, or --force to "
        "overwrite it.\n"
    )
    assert Path("mine.yaml").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (["init"], "TRANSHIP_SQLSERVER_HOST"),
        (["bookmarks", "list"], "TRANSHIP_POSTGRES_HOST"),
        (["bookmarks", "reset", "a.b", "--target", "redshift"], "TRANSHIP_REDSHIFT_HOST"),
    ],
)
def test_without_an_address_it_is_said_which_variables_to_set(run, arguments, variable):
    answer = run(*arguments)
    assert answer.exit_code == 1
    assert answer.output.startswith(f"Error: {variable}, ")
    assert answer.output.count("\n") == 1


def test_a_server_that_is_down_is_one_sentence(run, closed_port: int):
    answer = run("init", "--source-url", UNKNOWN.format(port=closed_port))
    assert answer.exit_code == 1
    assert answer.output == (
        f"Error: 127.0.0.1:{closed_port} cannot be reached: Connection refused. Check host and port, and that the "
        "server is up.\n"
    )
    assert not Path("defs").exists()
    answer = run(
        "bookmarks", "list", "--target-url", f"postgresql://a:hunter2@127.0.0.1:{closed_port}/b"
    )
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: ")
    assert "hunter2" not in answer.output
    assert answer.output.count("\n") == 1
