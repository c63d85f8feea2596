"""What the engine gets for `containers/create`, and what it never gets."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from gate_under_test import LABELS, POLICY, GateUnderTest, allowed_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.create_body import rebuild
from gate.refusals import RefusedError

FORBIDDEN_HOST_KEYS: dict[str, Any] = {
    "Privileged": True,
    "Binds": ["/:/host"],
    "CapAdd": ["SYS_ADMIN"],
    "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}],
    "DeviceRequests": [{"Driver": "nvidia"}],
    "DeviceCgroupRules": ["a *:* rwm"],
    "PidMode": "host",
    "UTSMode": "host",
    "IpcMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "Cgroup": "x",
    "CgroupParent": "/",
    "VolumesFrom": ["postgres"],
    "VolumeDriver": "evil",
    "Links": ["postgres:db"],
    "ExtraHosts": ["postgres:10.0.0.1"],
    "Dns": ["10.0.0.1"],
    "GroupAdd": ["docker"],
    "Sysctls": {"kernel.shm_rmid_forced": "1"},
    "Runtime": "evil",
    "StorageOpt": {"size": "1t"},
    "ContainerIDFile": "/etc/passwd",
    "OomKillDisable": True,
    "MaskedPaths": ["/nothing"],
    "ReadonlyPaths": ["/nothing"],
    "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
    "PublishAllPorts": True,
    "AutoRemove": True,
    "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}],
    "CpuQuota": 100000,
    "CpuRealtimeRuntime": 1,
    "KernelMemory": 1,
    "BlkioWeight": 10,
    "Annotations": {"a": "b"},
    "SecurityOpt": ["seccomp=unconfined"],
    "RestartPolicy": {"Name": "always"},
    "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.1"}},
}


def odd_case(key: str) -> str:
    return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(key))


def refused(gate: GateUnderTest, body: Any) -> str:
    status, text = gate.create(body)
    assert status in (400, 403), text
    assert gate.engine.requests == []
    return json.loads(text)["message"]


def test_the_engine_gets_the_hardening_whether_or_not_it_was_asked_for(gate: GateUnderTest):
    status, text = gate.create(allowed_body(), name="tranship-run-a")
    assert status == 201, text
    ((method, path, query, body),) = gate.engine.calls("/create")
    assert (method, path, query) == ("POST", "/v1.41/containers/create", {"name": "tranship-run-a"})
    assert body == {
        "Image": "tranship/user-code:1",
        "Cmd": ["dagster", "api", "execute_run"],
        "Env": ["A=1"],
        "Labels": {
            "dagster/run_id": "run-1",
            "tranship/deployment": "test",
            "tranship/memory-bytes": str(1 << 30),
            # By these, `docker compose down --remove-orphans` takes a run along.
            "com.docker.compose.project": "test",
            "com.docker.compose.service": "user-code",
            "com.docker.compose.oneoff": "True",
            "com.docker.compose.config-hash": "run",
        },
        "User": "10001:10001",
        "NetworkingConfig": {"EndpointsConfig": {"runs": {}}},
        "HostConfig": {
            "NetworkMode": "runs",
            "Memory": 1 << 30,
            "MemorySwap": 1 << 30,
            "NanoCpus": 1_000_000_000,
            "PidsLimit": 128,
            "ReadonlyRootfs": True,
            "Init": False,
            "Mounts": [],
            "Tmpfs": {},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "RestartPolicy": {"Name": "no"},
            "IpcMode": "private",
            "Privileged": False,
            "CapAdd": [],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
        },
    }


@pytest.mark.parametrize("spelling", [str, str.lower, str.upper, odd_case])
@pytest.mark.parametrize("key", FORBIDDEN_HOST_KEYS)
def test_a_forbidden_key_is_refused_in_any_case(key: str, spelling: Any):
    for host_key in ("HostConfig", spelling("HostConfig")):
        body = allowed_body()
        host = body.pop("HostConfig")
        body[host_key] = {**host, spelling(key): FORBIDDEN_HOST_KEYS[key]}
        with pytest.raises(RefusedError) as refusal:
            rebuild(body, POLICY)
        assert refusal.value.status == 403
    with pytest.raises(RefusedError) as refusal:
        # The engine also reads these beside HostConfig (a relic of API 1.17).
        rebuild({**allowed_body(), spelling(key): FORBIDDEN_HOST_KEYS[key]}, POLICY)
    assert refusal.value.status == 403


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Entrypoint", ["/bin/sh"]),
        ("ExposedPorts", {"80/tcp": {}}),
        ("Hostname", "postgres"),
        ("MacAddress", "02:42:ac:11:00:02"),
        ("Healthcheck", {"Test": ["CMD", "true"]}),
        ("OnBuild", ["x"]),
        ("Tty", True),
        ("OpenStdin", True),
        ("User", "0"),
        ("User", "root"),
        ("User", "10001:0"),
        ("Volumes", {"/var/lib": {}}),
        ("WorkingDir", "../.."),
        ("WorkingDir", "/proc/self/fd/7"),
        ("WorkingDir", "/proc"),
        ("WorkingDir", "/sys/fs/cgroup"),
        ("WorkingDir", "/etc"),
        ("WorkingDir", "/tmpx"),
        ("Cmd", None),
        ("Cmd", []),
        ("Cmd", ["cat", "/run/secrets/data/TRANSHIP_POSTGRES_PASSWORD"]),
        ("Cmd", ["sh", "-c", "env"]),
        ("Cmd", ["python", "-c", "import os; print(os.environ)"]),
        ("Cmd", ["dagster", "--help", "execute_run"]),
        ("Cmd", ["dagster", "api", "grpc"]),
        ("Cmd", ["dagster", "run", "list"]),
        ("Cmd", ["python", "-m", "dagster", "dev"]),
        ("Cmd", ["python", "-m", "tranship.runs.worker", "--", "sh", "-c", "env"]),
        ("Cmd", ["python", "-m", "tranship.runs.worker", "dagster", "api", "execute_run"]),
        (
            "Cmd",
            [
                "python",
                "-m",
                "tranship.runs.worker",
                "--from",
                "/x",
                "--",
                "dagster",
                "api",
                "execute_run",
            ],
        ),
        (
            "Cmd",
            [
                "python",
                "-m",
                "tranship.runs.worker",
                "-h",
                "y",
                "--",
                "dagster",
                "api",
                "execute_run",
            ],
        ),
        ("Cmd", ["/tmp/evil -m", "-m", "dagster", "api", "execute_run"]),
        ("StopTimeout", 999_999),
        ("StopSignal", "SIGSTOP"),
        ("Image", "tranship/user-code-evil:1"),
        ("Image", "evil.example/tranship/user-code:1"),
        ("Image", "tranship/user-code/../evil"),
        ("Image", "sha256:" + "0" * 64),
        ("Image", "TRANSHIP/user-code"),
        ("Image", "tranship/user-code:1\n"),
        ("Labels", {"dagster/run_id": "a", "com.docker.compose.project": "stack"}),
        ("Labels", {"dagster/run_id": "a", "tranship/deployment": "other"}),
        ("Labels", {"tranship/deployment": "test"}),
        ("Env", ["NOVALUE"]),
        ("Env", ["A B=1"]),
        ("Env", ["PYTHONPATH=/tmp"]),
        ("Env", ["PYTHONSTARTUP=/tmp/x"]),
        ("Env", ["PYTHONINSPECT=1"]),
        ("Env", ["LD_PRELOAD=/tmp/x.so"]),
        ("Env", ["PATH=/tmp"]),
        ("Labels", {"dagster/run_id": "a", "tranship/memory-bytes": "1"}),
        ("NetworkingConfig", {"EndpointsConfig": {"host": {}}}),
        ("NetworkingConfig", {"EndpointsConfig": {"runs": {"Aliases": ["postgres"]}}}),
        ("NetworkingConfig", {"endpointsconfig": {"runs": {"IPAddress": "10.0.0.2"}}}),
    ],
)
def test_a_value_outside_the_policy_is_refused(gate: GateUnderTest, key: str, value: Any):
    refused(gate, {**allowed_body(), key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NetworkMode", "host"),
        ("NetworkMode", "container:postgres"),
        ("NetworkMode", "bridge"),
        ("NetworkMode", None),
        ("Memory", None),
        ("Memory", 0),
        ("Memory", -1),
        ("Memory", (4 << 30) + 1),
        ("Memory", 1.5),
        ("Memory", True),
        ("Memory", "1g"),
        ("MemorySwap", -1),
        ("MemorySwap", 8 << 30),
        ("NanoCpus", None),
        ("NanoCpus", 3_000_000_000),
        ("PidsLimit", None),
        ("PidsLimit", -1),
        ("PidsLimit", 513),
        ("ShmSize", 8 << 30),
        ("OomScoreAdj", -1000),
        ("Binds", ["secrets:/run/secrets"]),
        ("Binds", ["other:/data"]),
        ("Binds", ["../x:/data"]),
        ("Binds", ["scratch:/data:rw,z"]),
        ("Binds", ["scratch:/data/../etc"]),
        ("Binds", ["scratch:/"]),
        ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
        ("Mounts", [{"type": "BIND", "source": "/", "target": "/host"}]),
        ("Mounts", [{"Type": "volume", "Source": "secrets", "Target": "/s"}]),
        (
            "Mounts",
            [
                {
                    "Type": "volume",
                    "Source": "scratch",
                    "Target": "/s",
                    "VolumeOptions": {"DriverConfig": {"Options": {"o": "bind", "device": "/"}}},
                }
            ],
        ),
        ("Tmpfs", {"/tmp": "exec"}),
        ("Tmpfs", {"relative": ""}),
        ("Tmpfs", {"/proc": ""}),
        ("Tmpfs", {"/proc/self/fd/9": ""}),
        ("Tmpfs", {"/dev": ""}),
        ("Tmpfs", {"/sys/fs/cgroup": ""}),
        ("Tmpfs", {"/usr/local/lib/python3.13": ""}),
        ("Binds", ["scratch:/usr/local/bin"]),
        ("Mounts", [{"Type": "volume", "Source": "scratch", "Target": "/dev/shm"}]),
    ],
)
def test_a_host_setting_outside_the_policy_is_refused(gate: GateUnderTest, key: str, value: Any):
    refused(gate, allowed_body(**{key: value}))


def test_a_limit_above_the_ceiling_is_refused_with_the_ceiling_named(gate: GateUnderTest):
    message = refused(gate, allowed_body(Memory=5 << 30))
    assert message == (
        "gate: HostConfig.Memory is 5368709120, which is not within 1 and 4294967296 "
        "(bytes, GATE_MAX_MEMORY)"
    )


def test_named_volumes_are_mounted_as_their_setting_allows(gate: GateUnderTest):
    mounts = [{"Type": "volume", "Source": "secrets", "Target": "/run/secrets", "ReadOnly": True}]
    body = allowed_body(Mounts=mounts, Binds=["scratch:/mnt/scratch"], Tmpfs={"/tmp": "size=64m"})
    status, text = gate.create({**body, "Volumes": {"/mnt/scratch": {}}})
    assert status == 201, text
    host = gate.engine.calls("/create")[0][3]["HostConfig"]
    assert host["Mounts"] == [
        *mounts,
        {"Type": "volume", "Source": "scratch", "Target": "/mnt/scratch", "ReadOnly": False},
    ]
    assert host["Tmpfs"] == {"/tmp": "size=64m"}
    assert "Binds" not in host


@pytest.mark.parametrize(
    "command",
    [
        ["dagster", "api", "execute_run", "{}"],
        ["python", "-m", "dagster", "api", "resume_run", "{}"],
        [
            "python3.13",
            "-m",
            "tranship.runs.worker",
            "--from",
            "/run/secrets",
            "--",
            "dagster",
            "api",
            "execute_run",
        ],
    ],
)
def test_the_commands_of_run_workers_pass(gate: GateUnderTest, command: list[str]):
    mounts = [{"Type": "volume", "Source": "secrets", "Target": "/run/secrets", "ReadOnly": True}]
    body = {**allowed_body(Mounts=mounts), "Cmd": command, "Env": ["PYTHONUNBUFFERED=1"]}
    status, text = gate.create(body)
    assert status == 201, text
    assert gate.engine.calls("/create")[0][3]["Cmd"] == command


def test_another_program_passes_where_the_deployment_names_it():
    body = {**allowed_body(), "Cmd": ["/opt/etl/run", "api", "execute_run", "{}"]}
    with pytest.raises(RefusedError, match="GATE_PROGRAMS"):
        rebuild(body, POLICY)
    assert (
        rebuild(body, replace(POLICY, programs=frozenset({"/opt/etl/run"})))["Cmd"] == body["Cmd"]
    )


def test_no_more_containers_live_than_are_allowed(gate: GateUnderTest):
    for number in range(POLICY.max_containers):
        assert gate.create(allowed_body(), name=f"tranship-run-{number}")[0] == 201
    status, text = gate.create(allowed_body(), name="tranship-run-x")
    assert status == 503
    assert (
        json.loads(text)["message"]
        == "gate: 8 run containers live, and no more may (GATE_MAX_CONTAINERS)"
    )
    # One that has ended makes room, one of another deployment takes none.
    next(iter(gate.engine.containers.values())).state["Status"] = "exited"
    gate.engine.add({"dagster/run_id": "a", "tranship/deployment": "another"}, Status="running")
    assert gate.create(allowed_body(), name="tranship-run-y")[0] == 201


def test_the_memory_of_all_that_live_is_bounded(gate: GateUnderTest):
    gate.engine.add(
        LABELS, Status="running"
    )  # by an earlier gate: counts as the most that one may have
    for number in range(3):
        body = allowed_body(Memory=(4 << 30) - 1)
        assert gate.create(body, name=f"tranship-run-{number}")[0] == 201
    assert gate.create(allowed_body(Memory=3), name="tranship-run-3")[0] == 201
    status, text = gate.create(allowed_body(Memory=1), name="tranship-run-4")
    assert (status, "GATE_MAX_TOTAL_MEMORY" in text) == (503, True)


def test_many_at_once_find_no_more_room_than_there_is(gate: GateUnderTest):
    with ThreadPoolExecutor(20) as pool:
        asked = [
            pool.submit(gate.create, allowed_body(), f"tranship-run-{number}")
            for number in range(20)
        ]
    statuses = [answer.result()[0] for answer in asked]
    assert statuses.count(201) == POLICY.max_containers
    assert len(gate.engine.containers) == POLICY.max_containers


@pytest.mark.parametrize("name", ["postgres", "tranship-run-/../x", "tranship-runx y", "warehouse"])
def test_a_container_cannot_take_a_service_name(gate: GateUnderTest, name: str):
    status, _ = gate.create(allowed_body(), name=name.replace(" ", "%20"))
    assert status == 403
    assert gate.engine.requests == []


WITH_HOST = json.dumps(allowed_body())[:-1].encode()
HOST = json.dumps(allowed_body()["HostConfig"])[:-1].encode()


@pytest.mark.parametrize(
    "raw",
    [
        WITH_HOST + b', "\\u0048ostConfig": {"Privileged": true}}',
        WITH_HOST + b', "hostconfig": {"privileged": true}}',
        WITH_HOST + b', "HostConfig": {"Privileged": true}}',
        WITH_HOST + b', "HostConfig": ' + HOST + b', "\\u0050rivileged": true}}',
        '{"Image":"tranship/user-code:1","Ho\u017ftConfig":{"Privileged":true}}'.encode(),
        WITH_HOST + ', "Ho\u017ftConfig": {"Privileged": true}}'.encode(),
        WITH_HOST + b', "Ho\\u017ftConfig": {"Privileged": true}}',
        WITH_HOST + ', "Networ\u212aingConfig": {"x": 1}}'.encode(),
        WITH_HOST + b"}\x00",
        WITH_HOST + b', "Domainname": "\\ud800"}',
        WITH_HOST + b', "Domainname": "\\u0000"}',
        WITH_HOST + b', "a": NaN}',
        WITH_HOST + b', "a": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        WITH_HOST + b"} {}",
        b"\xef\xbb\xbf" + WITH_HOST + b"}",
        (WITH_HOST + b"}").decode().encode("utf-16"),
        WITH_HOST + b', "Domainname": "\xff"}',
        WITH_HOST + b', "Domainname": "\xc0\xaf"}',
        b"[]",
        b"null",
        b"",
        b"{",
    ],
)
def test_a_body_that_two_parsers_could_read_differently_is_refused(gate: GateUnderTest, raw: bytes):
    refused(gate, raw)


KEYS = st.sampled_from([*FORBIDDEN_HOST_KEYS, "Memory", "Mounts", "NetworkMode", "Tmpfs", "Init"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    extra=st.dictionaries(KEYS, VALUES, max_size=4), top=st.dictionaries(KEYS, VALUES, max_size=2)
)
def test_whatever_is_asked_the_result_is_hardened_or_refused(
    extra: dict[str, Any], top: dict[str, Any]
):
    try:
        built: Any = rebuild({**allowed_body(**extra), **top}, POLICY)
    except RefusedError:
        return  # a refusal is always right; what is let through is what must be looked at
    host = built["HostConfig"]
    assert set(built) <= {
        "Image", "Cmd", "Env", "Labels", "User", "HostConfig", "NetworkingConfig",
    }  # fmt: skip
    assert (host["Privileged"], host["CapDrop"], host["CapAdd"]) == (False, ["ALL"], [])
    assert host["NetworkMode"] in POLICY.networks
    assert 0 < host["Memory"] <= POLICY.max_memory_bytes
    assert all(mount["Source"] in POLICY.volumes for mount in host["Mounts"])
