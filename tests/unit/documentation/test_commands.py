"""Every command that a page prints exists, with its options, targets, files, services and variables."""

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import click
import pytest
from dagster._cli import create_dagster_cli
from dagster_dg_cli.cli import create_dg_cli
from documentation import CHECKOUT, Command, commands

import tranship.cli
from login.commands import parser as login_commands

PROJECT = tomllib.loads((CHECKOUT / "user_code/pyproject.toml").read_text())["project"]
MAKEFILE = (CHECKOUT / "Makefile").read_text()
SERVICES = {
    service
    for file in ("docker-compose.yml", "docker-compose.vm.yml")
    for service in re.findall(
        r"^  ([a-z-]+):", (CHECKOUT / file).read_text().partition("\nservices:")[2], re.MULTILINE
    )
}
VERBS = {
    "build": set[str](),
    "logs": {"-f", "--follow"},
    "up": {"--build", "--wait", "-d", "--no-deps", "--force-recreate"},
    "down": {"-v", "--volumes", "--remove-orphans"},
}
"""Of docker compose, as https://docs.docker.com/reference/cli/docker/compose/ lists them: nothing of it can be asked here."""
PLACEHOLDER = re.compile(r"[A-Z]{3,}|\.\.\.")


def check_make(words: Sequence[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    for word in words:
        if "=" in word:
            assert re.search(rf"\$\(?{word.partition('=')[0]}\b|ifdef {word.partition('=')[0]}\b|"
                             rf"\$\(if \$\({word.partition('=')[0]}\)", MAKEFILE), word  # fmt: skip
        else:
            assert word in targets


def check_click(group: click.Command, words: Sequence[str], name: str) -> None:
    """Parse a command as its own tree does, and run nothing."""
    context = click.Context(group, info_name=name, resilient_parsing=True)
    rest = list(words)
    while isinstance(group, click.Group) and rest and not rest[0].startswith("-"):
        below = group.get_command(context, rest[0])
        assert below is not None, f"{name} has no command {rest[0]}"
        group, rest = below, rest[1:]
        if type(group).__name__ == "ScaffoldDefsGroup":
            return  # its commands are the components of the project that it is called in
        context = click.Context(group, context, info_name=group.name)
    if rest:
        group.make_parser(context).parse_args(rest)


def check_tranship(words: Sequence[str]) -> None:
    check_click(tranship.cli.main, words, "tranship")


def check_dagster(words: Sequence[str]) -> None:
    check_click(create_dagster_cli(), words, "dagster")
    if "-m" in words:
        module = words[words.index("-m") + 1].replace(".", "/")
        assert (CHECKOUT / f"user_code/src/{module}.py").exists()


def check_dg(words: Sequence[str]) -> None:
    check_click(create_dg_cli(), words, "dg")


def check_docker(words: Sequence[str]) -> None:
    assert words[0] == "compose"
    rest = list(words[1:])
    while rest and rest[0] == "-f":
        assert (CHECKOUT / rest[1]).is_file()
        rest = rest[2:]
    if not rest:
        return
    verb, *rest = rest
    if verb == "exec":
        service, *command = rest
        assert service in SERVICES
        if command[:3] == ["python", "-m", "login"]:
            login_commands().parse_args(command[3:])
        return
    if verb == "cp":
        assert rest[0].partition(":")[0] in SERVICES
        return
    for word in rest:
        assert word in VERBS[verb] if word.startswith("-") else word in SERVICES


def check_pip(words: Sequence[str]) -> None:
    install, *wanted = words
    assert install == "install"
    for text in wanted:
        path, _, extras = text.removesuffix("]").partition("[")
        assert (CHECKOUT / path / "pyproject.toml").is_file(), text
        assert set(filter(None, extras.split(","))) <= set(PROJECT["optional-dependencies"])


def check_python(words: Sequence[str]) -> None:
    option, module, *_ = words
    assert option == "-m"
    path = CHECKOUT / "user_code/src" / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def check_uv(words: Sequence[str]) -> None:
    command = " ".join(word for word in words if word != "-q").replace("\n", "")
    assert command in (CHECKOUT / "requirements/dev.lock").read_text()


def check_stack(words: Sequence[str]) -> None:
    command, *rest = words or ("help",)
    assert re.search(rf"^  {command}( \\||\))", (CHECKOUT / "stack").read_text(), re.MULTILINE)
    install = (CHECKOUT / "deploy/vm/lib/install.sh").read_text()
    for word in rest if command in {"install", "uninstall"} else ():
        assert not word.startswith("--") or re.search(rf"{word}( \||\))", install), word
        if re.match(r"[A-Z_]+=", word):
            assert word.partition("=")[0] in known_variables()


def check_variables(words: Sequence[str]) -> None:
    """`export A=b`, `echo 'A=b' >>.env`, `printf ... >secrets/.../A`: the names that are set."""
    names = {word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)}
    names |= {word.rpartition("/")[2] for word in words if word.startswith("secrets/")}
    assert names
    assert names <= known_variables()


def check_folder(words: Sequence[str]) -> None:
    assert (CHECKOUT / words[0]).is_dir()


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "cd": check_folder,
    "dagster": check_dagster,
    "dg": check_dg,
    "docker": check_docker,
    "echo": check_variables,
    "export": check_variables,
    "make": check_make,
    "pip": check_pip,
    "printf": check_variables,
    "python": check_python,
    "tranship": check_tranship,
    "stack": check_stack,
    "uv": check_uv,
}


@cache
def known_variables() -> set[str]:
    """Every variable that the library, the stack or the tests read; settings have theirs by prefix and field."""
    from tranship.postgres.resource import PostgresResource
    from tranship.redshift.resource import RedshiftResource
    from tranship.sqlserver.resource import SqlServerResource

    resources = {
        "SQLSERVER": SqlServerResource,
        "POSTGRES": PostgresResource,
        "REDSHIFT": RedshiftResource,
    }
    of_settings = {
        f"TRANSHIP_{prefix}_{field.upper()}"
        for prefix, resource in resources.items()
        for field in resource.model_fields
    }
    texts = [CHECKOUT / ".env.example", CHECKOUT / "docker-compose.yml", CHECKOUT / "Makefile"]
    for folder in ("user_code/src", "tests"):
        texts += (CHECKOUT / folder).rglob("*.py")
    texts.remove(Path(__file__))  # it has names that nobody reads
    named = {
        name
        for file in texts
        for name in re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", file.read_text())
    }
    return of_settings | named


def test_pages_print_commands():
    """Or the tests below hold nothing."""
    assert {command.words[0].rpartition("/")[2] for command in commands() if command.words} == set(
        CHECKS
    )


@pytest.mark.parametrize("command", commands(), ids=str)
def test_a_printed_command_exists(command: Command):
    assert set(command.variables) <= known_variables()
    if command.words:
        program, *words = command.words
        CHECKS[program.removeprefix("../").removeprefix(".venv/bin/").removeprefix("./")](words)


@pytest.mark.parametrize(
    "words",
    [
        ("make", "demos"),
        ("make", "test", "QUICK=1"),
        ("tranship", "inits"),
        ("tranship", "init", "--table", "dbo.A", "--no-such-option"),
        ("dg", "check", "yamls"),
        ("dagster", "dev", "-m", "etl.no_such_module"),
        ("docker", "compose", "-f", "docker-compose.no.yml", "up"),
        ("docker", "compose", "up", "--waits"),
        ("docker", "compose", "logs", "no-such-service"),
        ("pip", "install", "./user_code[no_such_extra]"),
        ("pip", "install", "tranship"),
        ("python", "-m", "tranship.no_such_module"),
        ("export", "TRANSHIP_SQLSERVER_HOSTS=db"),
        ("cd", "no_such_folder"),
        ("stack", "start"),
        ("stack", "install", "--quick"),
        ("stack", "install", "--set", "TRANSHIP_SQLSERVER_HOSTS=db"),
    ],
    ids=" ".join,
)
def test_a_command_that_does_not_exist_is_found_out(words: tuple[str, ...]):
    program, *rest = words
    with pytest.raises((AssertionError, click.ClickException, KeyError)):
        CHECKS[program](rest)


@pytest.mark.parametrize("recipe", ["a type", "an alert channel", "a mode"])
def test_a_recipe_names_at_most_five_steps_and_files_that_exist(recipe: str):
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    section = text.partition(f"## Adding {recipe}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^(\d)\. .*$", section, re.MULTILINE)
    assert 1 <= len(steps) <= 5
    for path in re.findall(r"`([\w/.]+/[\w.]+\.(?:py|md))`", section):
        home = "user_code/src/" if path.startswith("tranship/") else ""
        assert (CHECKOUT / home / path).is_file(), path
