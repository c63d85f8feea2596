"""Which systems start, by what is set: rendered by compose itself, for the examples that ship and for each host alone."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compose_stack import ROOT, without_settings

pytestmark = [pytest.mark.engine]

WITHOUT_THE_DOOR = ("docker-compose.yml", "docker-compose.standin.yml")
EXAMPLES = ROOT / "deploy/vm/examples"
CONTROL = {"daemon", "gate", "secrets", "user-code", "watcher", "webserver"}
BUNDLED = {
    "DAGSTER_POSTGRES_HOST": {"postgres"},
    "TRANSHIP_SQLSERVER_HOST": {"sqlserver", "sqlserver-sample"},
    "TRANSHIP_POSTGRES_HOST": {"warehouse"},
    "TRANSHIP_REDSHIFT_HOST": {"redshift", "redshift-postgres"},
    "AWS_ENDPOINT_URL": {"localstack"},
}
ALL = set[str]().union(*BUNDLED.values())


def rendered(*arguments: str, **variables: str) -> dict[str, Any]:
    """What compose makes of the stack's files."""
    files = [part for file in WITHOUT_THE_DOOR for part in ("--file", file)]
    done = subprocess.run(
        ["docker", "compose", *arguments, *files, "config", "--format", "json"],
        cwd=ROOT,
        env={**without_settings(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def example(name: str) -> dict[str, Any]:
    return rendered("--env-file", str(EXAMPLES / name))


def needs(services: dict[str, Any], service: str) -> set[str]:
    """What a service waits for, of what there is."""
    return set(services[service].get("depends_on", {})) & services.keys()


@pytest.mark.parametrize("variable", BUNDLED)
def test_a_host_of_yours_takes_the_place_of_the_bundled_system(variable: str):
    services = rendered(**{variable: "system.example.com"})["services"]
    assert set(services) == CONTROL | (ALL - BUNDLED[variable])
    for service in services:
        told = services[service].get("depends_on", {})
        missing = {one for one, how in told.items() if one not in services and how["required"]}
        assert missing == set()


def test_all_are_bundled_unless_told_otherwise():
    for services in (rendered()["services"], example("bundled.env")["services"]):
        assert set(services) == CONTROL | ALL
        assert ALL - {"sqlserver", "redshift-postgres"} <= needs(services, "daemon")
        assert set(services["webserver"]["networks"]) == {"control", "edge"}
        assert set(services["daemon"]["networks"]) == {"control"}
        assert services["user-code"]["environment"]["DAGSTER_POSTGRES_SSLMODE"] == ""


def test_the_companys_systems_alone():
    project = example("company.env")
    services = project["services"]
    assert set(services) == CONTROL
    for service in ("webserver", "daemon"):
        # A way to the storage and to S3, and for the daemon none to the data.
        assert "away" in services[service]["networks"]
        assert "runs" not in services[service]["networks"]
        # The engine takes the first of those that have a way out for it.
        open_ones = {one for one in services[service]["networks"] if one != "control"}
        assert min(open_ones) == "away"
    assert not project["networks"]["away"].get("internal", False)
    for service in ("webserver", "daemon", "user-code", "watcher"):
        told = services[service]["environment"]
        assert told["AWS_ENDPOINT_URL"] == ""
        assert told["DAGSTER_POSTGRES_HOST"] == "dagster.abc.eu-west-1.rds.amazonaws.com"
        assert told["DAGSTER_POSTGRES_SSLMODE"] == "verify-full"
    data = services["daemon"]["environment"]
    assert data["TRANSHIP_SQLSERVER_APPLICATION_INTENT"] == "ReadOnly"
    # Only the stack's own hosts go unverified.
    assert data["TRANSHIP_HOSTS_WITHOUT_TLS"].split() == ["sqlserver", "warehouse", "redshift"]
    assert services["secrets"]["environment"]["TRANSHIP_NOT_BUNDLED"].split() == [
        "postgres", "sqlserver", "warehouse", "redshift", "localstack",
    ]  # fmt: skip


def test_some_of_the_companys_and_some_bundled():
    services = example("mixed.env")["services"]
    assert set(services) == CONTROL | {"postgres", "localstack"}
    assert set(services["daemon"]["networks"]) == {"control"}
    assert services["secrets"]["environment"]["TRANSHIP_NOT_BUNDLED"].split() == [
        "sqlserver", "warehouse", "redshift",
    ]  # fmt: skip


def test_an_example_sets_what_can_be_set():
    known = (ROOT / ".env.example").read_text()
    for file in EXAMPLES.glob("*.env"):
        names = [line.partition("=")[0] for line in _lines(file)]
        assert [name for name in names if f"#{name}=" not in known] == [], file


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
