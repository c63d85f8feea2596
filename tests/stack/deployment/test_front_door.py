"""The front door of the stack: who reaches what, and the way in by TLS and login."""

import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from acme_authority import asking_edge
from compose_stack import ROOT, ComposeStack
from front_door import LIMITS, MUTATION, Browser

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600), pytest.mark.xdist_group("stack")]

ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
SOCKETS = {
    "edge": {"login", "operators", "viewers"},
    "login": {"login"},
    "webserver": {"operators"},
    "viewer": {"viewers"},
}


@pytest.fixture(scope="module")
def authority(stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a browser trusts that was given the internal authority's certificate."""
    file: Path = tmp_path_factory.mktemp("authority") / "root.crt"
    stack.compose("cp", f"edge:{ROOT_CERTIFICATE}", str(file))
    return ssl.create_default_context(cafile=file)


@pytest.fixture(scope="module")
def passwords(stack: ComposeStack) -> dict[str, str]:
    """An operator and a viewer, as `docker compose exec login` makes them."""
    command = ("exec", "-T", "login", "python", "-m", "login", "users", "add")
    return {
        name: stack.compose(*command, name, "--role", role, "--generate").strip()
        for name, role in (("olga", "operator"), ("vera", "viewer"))
    }


def logged_in(
    stack: ComposeStack, authority: ssl.SSLContext, passwords: dict[str, str], name: str
) -> Browser:
    browser = Browser(f"https://localhost:{stack.ports['TRANSHIP_HTTPS_PORT']}", authority)
    answer = browser.log_in(name, passwords[name])
    assert answer.status_code == 303, answer.text
    return browser


def test_the_webservers_are_reached_by_the_edges_sockets_alone(stack: ComposeStack):
    mounts = {
        service: {
            mount["Name"].rpartition("_door-")[2]
            for mount in container.attrs["Mounts"]
            if "_door-" in mount.get("Name", "")
        }
        for container in stack.services()
        for service in [container.labels["com.docker.compose.service"]]
    }
    assert {service: names for service, names in mounts.items() if names} == SOCKETS
    listening = stack.python("viewer", "print(open('/proc/net/tcp').read())")[1]
    # State 0A is LISTEN; 3000 is 0BB8, on 127.0.0.1.
    assert re.findall(r"^\s*\d+: (\S+:0BB8) \S+ 0A", listening, re.MULTILINE) == ["0100007F:0BB8"]


def test_the_edge_and_the_login_share_no_network_with_anybody(stack: ComposeStack):
    networks: dict[str, set[str]] = {}
    for container in stack.services():
        for network in container.attrs["NetworkSettings"]["Networks"]:
            networks.setdefault(network, set()).add(container.labels["com.docker.compose.service"])
    assert networks[f"{stack.project}_front"] == {"edge"}
    assert networks[f"{stack.project}_identity"] == {"login"}
    assert [members for members in networks.values() if "edge" in members] == [{"edge"}]
    assert [members for members in networks.values() if "login" in members] == [{"login"}]


def test_an_operator_changes_things_and_it_is_told(
    stack: ComposeStack, authority: ssl.SSLContext, passwords: dict[str, str]
):
    browser = logged_in(stack, authority, passwords, "olga")
    assert browser.ask(MUTATION).json() == {"data": {"setConcurrencyLimit": True}}
    lines = stack.container("webserver").logs(tail=50).decode().splitlines()
    (change,) = [json.loads(line) for line in lines if '"Attack"' in line]
    assert (change["user"], change["mutations"], change["errors"]) == (
        "olga",
        ["setConcurrencyLimit"],
        False,
    )


def test_a_viewer_changes_nothing(
    stack: ComposeStack, authority: ssl.SSLContext, passwords: dict[str, str]
):
    browser = logged_in(stack, authority, passwords, "vera")
    assert browser.ask(LIMITS).status_code == 200
    assert "Unauthorized" in browser.ask(MUTATION, **{"X-Tranship-Role": "operator"}).text


def test_a_page_sees_what_a_run_says_over_the_websocket(
    stack: ComposeStack,
    authority: ssl.SSLContext,
    passwords: dict[str, str],
    bad_runs: dict[str, str],
):
    browser = logged_in(stack, authority, passwords, "vera")
    query = (
        f'subscription {{ pipelineRunLogs(runId: "{bad_runs["crashing_job"]}") {{ __typename'
        " ... on PipelineRunLogsSubscriptionSuccess { messages { __typename } } } }"
    )
    with browser.websocket() as channel:
        channel.send(json.dumps({"type": "connection_init"}))
        channel.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        seen = ""
        while "RunEnqueuedEvent" not in seen:
            seen += str(channel.recv(timeout=120))


def test_a_certificate_of_an_acme_authority_comes_and_is_renewed_without_a_restart(
    stack: ComposeStack,
):
    with asking_edge(stack.engine, "tranship/edge:dev") as edge:
        edge.wait_until(edge.serial_number)
        first = edge.serial_number()
        log = edge.container.logs().decode()
        assert "served key authentication" in log
        assert "http-01" in log
        edge.wait_until(lambda: edge.serial_number() not in ("", first))
        edge.container.reload()
        assert (edge.container.status, edge.container.attrs["RestartCount"]) == ("running", 0)


def test_the_front_door_stands_before_microsofts_image_too():
    """Without the stand-in's file, whose lists would hide what compose makes of empty ones."""
    files = [
        part
        for file in ("docker-compose.yml", "docker-compose.vm.yml")
        for part in ("--file", str(ROOT / file))
    ]
    command = ["docker", "compose", *files, "config", "--format", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    services = json.loads(told.stdout)["services"]
    assert {name for name, service in services.items() if service.get("ports")} == {"edge"}
    assert not services["sqlserver"].get("security_opt")
    assert list(services["webserver"]["networks"]) == ["control"]
