"""What `docker compose up --wait` brings up: every service well, limited, without rights, and apart from what it need not see."""

import json

import pytest
from compose_stack import ComposeStack
from graphql_client import GraphQLClient

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

SERVICES = {
    "daemon",
    "edge",
    "gate",
    "localstack",
    "login",
    "postgres",
    "redshift",
    "redshift-postgres",
    "sqlserver",
    "user-code",
    "viewer",
    "warehouse",
    "watcher",
    "webserver",
}
DATA_SYSTEMS = {"sqlserver": 1433, "warehouse": 5432, "redshift": 5439}
MEGABYTE = 1 << 20


def test_every_service_is_healthy(stack: ComposeStack):
    health = {name: stack.container(name).attrs["State"]["Health"]["Status"] for name in SERVICES}
    assert health == dict.fromkeys(SERVICES, "healthy")


@pytest.mark.parametrize("service", ["secrets", "sqlserver-sample"])
def test_what_runs_once_has_ended_well(stack: ComposeStack, service: str):
    state = stack.container(service).attrs["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_the_schedules_are_loaded_and_the_daily_one_runs(dagster: GraphQLClient):
    schedule = dagster.schedule("etl_job_schedule")
    assert (schedule["cronSchedule"], schedule["executionTimezone"]) == ("0 10 * * *", "US/Central")
    assert schedule["scheduleState"]["status"] == "RUNNING"


def test_every_daemon_is_healthy(dagster: GraphQLClient):
    query = (
        "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatErrors { message }"
        " } } } }"
    )
    statuses = dagster.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
    required = [status for status in statuses if status["required"]]
    assert len(required) >= 5
    assert [status for status in required if not status["healthy"]] == []


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_container_has_limits_and_no_rights_it_does_not_need(
    stack: ComposeStack, service: str
):
    attributes = stack.container(service).attrs
    host = attributes["HostConfig"]
    assert 64 * MEGABYTE <= host["Memory"] <= 1024 * MEGABYTE
    assert 0 < host["NanoCpus"] <= 2_000_000_000
    assert 0 < host["PidsLimit"] <= 512
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Privileged"] is False
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "3"},
    }
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_container_runs_as_a_numeric_user(stack: ComposeStack, service: str):
    user = stack.container(service).attrs["Config"]["User"]
    # The socket's owner; it has neither capabilities nor a network.
    expected = {"gate": {"0:0"}}.get(service, {"10001:10001", "999:999"})
    assert user in expected


def test_ports_are_published_on_the_loopback_address_only(stack: ComposeStack):
    bindings = [
        binding["HostIp"]
        for service in SERVICES
        for published in stack.container(service).attrs["NetworkSettings"]["Ports"].values()
        for binding in published or []
    ]
    assert bindings == ["127.0.0.1"] * 7


def test_only_the_gate_mounts_the_engines_socket(stack: ComposeStack):
    holders = {
        service
        for service in SERVICES
        for mount in stack.container(service).attrs["Mounts"]
        if mount["Source"].endswith("docker.sock")
    }
    assert holders == {"gate"}


def test_the_gate_has_no_network(stack: ComposeStack):
    assert list(stack.container("gate").attrs["NetworkSettings"]["Networks"]) == ["none"]


@pytest.mark.parametrize("service", ["webserver", "viewer", "daemon", "watcher", "edge", "login"])
def test_the_control_plane_cannot_reach_the_data(stack: ComposeStack, service: str):
    everything: list[tuple[str, int]] = []
    for system, port in DATA_SYSTEMS.items():
        networks = stack.container(system).attrs["NetworkSettings"]["Networks"]
        everything += [(system, port), (networks[f"{stack.project}-runs"]["IPAddress"], port)]
    assert reached(stack, "user-code", everything) == everything
    assert reached(stack, service, everything) == []


def test_no_password_is_visible_in_any_container(stack: ComposeStack):
    names = ["TRANSHIP_SQLSERVER_PASSWORD", "TRANSHIP_POSTGRES_PASSWORD"]
    names.append("TRANSHIP_REDSHIFT_PASSWORD")
    passwords = [stack.secret(name) for name in names]
    assert all(len(password) >= 30 for password in passwords)
    assert len(set(passwords)) == len(passwords)
    for service in [*SERVICES, "secrets", "sqlserver-sample"]:
        container = stack.container(service)
        told = json.dumps(container.attrs) + container.logs().decode()
        assert not [password for password in passwords if password in told], service


def reached(
    stack: ComposeStack, service: str, addresses: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Which of the addresses a service can open a connection to; all are tried at once."""
    code = f"""
import concurrent.futures, json, socket

def reaches(address):
    try:
        socket.create_connection(address, 3).close()
    except OSError:
        return False
    return True

addresses = {addresses!r}
with concurrent.futures.ThreadPoolExecutor() as threads:
    told = list(threads.map(reaches, addresses))
print(json.dumps([address for address, there in zip(addresses, told) if there]))
"""
    exit_code, output = stack.python(service, code)
    assert exit_code == 0, output
    return [(host, port) for host, port in json.loads(output)]
