"""Who reaches whom: each line of the table in docs/stack.md, tried from inside."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from compose_stack import ROOT, ComposeStack
from docker.models.containers import Container
from outside import METADATA, OUTSIDE, PORT, outside_host

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

PORTS = {
    "user-code": 4000,
    "webserver": 3000,
    "postgres": 5432,
    "localstack": 4566,
    "sqlserver": 1433,
    "warehouse": 5432,
    "redshift": 5439,
    "redshift-postgres": 5432,
}
LINE = re.compile(r"^\| `?([a-z-]+)`? \| (.*?) \| (.*?) \|$", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    """What docs/stack.md says that each reaches."""
    text = (ROOT / "docs/stack.md").read_text()
    _, _, after = text.partition("## Who reaches whom")
    table = after.partition("\n## ")[0]
    return {
        who: set(re.findall(r"`([a-z-]+)`", whom))
        for who, whom, _ in LINE.findall(table)
        if who != "who"
    }


@pytest.fixture(scope="module")
def run(stack: ComposeStack) -> Iterator[Container]:
    """A container where runs are, with what runs are started from."""
    image = stack.container("user-code").attrs["Config"]["Image"]
    container = stack.engine.containers.run(
        image, ["sleep", "600"], network=f"{stack.project}-runs", detach=True, init=True
    )
    yield container
    container.remove(force=True)


def from_inside(
    stack: ComposeStack, run: Container, who: str, addresses: list[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Which addresses somebody opens a connection to; all are tried at once."""
    code = f"""
import concurrent.futures, json, socket

def reaches(address):
    try:
        socket.create_connection(address, 4).close()
    except OSError:
        return False
    return True

addresses = {addresses!r}
with concurrent.futures.ThreadPoolExecutor(len(addresses)) as threads:
    told = list(threads.map(reaches, addresses))
print(json.dumps([address for address, there in zip(addresses, told) if there]))
"""
    container = run if who == "run" else stack.container(who)
    done = container.exec_run(["python", "-c", code])
    assert isinstance(done.output, bytes)
    assert done.exit_code == 0, done.output
    return {(host, port) for host, port in json.loads(done.output)}


def every_address(stack: ComposeStack) -> dict[tuple[str, int], str]:
    """Every name and every address of every service, on all its networks."""
    found: dict[tuple[str, int], str] = {}
    for service, port in PORTS.items():
        networks = stack.container(service).attrs["NetworkSettings"]["Networks"].values()
        for host in (service, *(network["IPAddress"] for network in networks)):
            found[host, port] = service
    return found


@pytest.mark.parametrize(
    "who",
    ["run", "user-code", "webserver", "daemon", "watcher", "localstack", "sqlserver", "redshift"],
)
def test_a_service_reaches_whom_the_documentation_says_and_nobody_else(
    stack: ComposeStack, run: Container, who: str
):
    addresses = every_address(stack)
    others = [address for address, service in addresses.items() if service != who]
    reached = {addresses[address] for address in from_inside(stack, run, who, others)}
    assert reached == documented()[who]


def test_the_table_names_every_service_that_listens(stack: ComposeStack):
    assert documented().keys() >= PORTS.keys() - {"postgres", "warehouse", "redshift-postgres"}


def test_who_has_a_way_out_and_who_reaches_the_clouds_metadata(stack: ComposeStack, run: Container):
    places = [(OUTSIDE, PORT), (METADATA, PORT)]
    firewall = str(ROOT / "docker/firewall.sh")
    with outside_host():
        assert from_inside(stack, run, "run", places) == set(places)
        assert from_inside(stack, run, "watcher", places) == set(places)
        for who in ("webserver", "daemon"):
            assert from_inside(stack, run, who, places) == set(), who
        for _ in range(2):
            subprocess.run([firewall, stack.project], check=True)
        try:
            for who in ("run", "watcher", "user-code"):
                assert from_inside(stack, run, who, places) == {(OUTSIDE, PORT)}, who
        finally:
            subprocess.run([firewall, stack.project, "allow"], check=True)
        # Runs that are to have the host's role.
        assert from_inside(stack, run, "run", places) == set(places)
