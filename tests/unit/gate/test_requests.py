"""What the gate makes of requests: paths, identities, bodies, connections."""

import json
import socket

import pytest
from gate_under_test import LABELS, GateUnderTest, allowed_body

SOME_ID = "a" * 64


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", f"/v1.41/containers/{SOME_ID}/exec"),
        ("POST", f"/v1.41/exec/{SOME_ID}/start"),
        ("POST", f"/v1.41/containers/{SOME_ID}/attach"),
        ("GET", f"/v1.41/containers/{SOME_ID}/attach/ws"),
        ("POST", f"/v1.41/containers/{SOME_ID}/update"),
        ("POST", f"/v1.41/containers/{SOME_ID}/rename?name=postgres"),
        ("POST", f"/v1.41/containers/{SOME_ID}/kill"),
        ("GET", f"/v1.41/containers/{SOME_ID}/archive?path=/"),
        ("PUT", f"/v1.41/containers/{SOME_ID}/archive?path=/"),
        ("GET", f"/v1.41/containers/{SOME_ID}/export"),
        ("POST", f"/v1.41/commit?container={SOME_ID}"),
        ("POST", "/v1.41/build"),
        ("POST", "/v1.41/session"),
        ("POST", "/v1.41/grpc"),
        ("POST", "/v1.41/volumes/create"),
        ("GET", "/v1.41/volumes"),
        ("DELETE", "/v1.41/volumes/secrets"),
        ("POST", "/v1.41/networks/create"),
        ("GET", "/v1.41/networks/runs"),
        ("POST", "/v1.41/swarm/init"),
        ("GET", "/v1.41/secrets"),
        ("POST", "/v1.41/services/create"),
        ("POST", "/v1.41/plugins/pull"),
        ("POST", "/v1.41/images/load"),
        ("POST", "/v1.41/images/tranship/user-code/tag"),
        ("GET", "/v1.41/images/json"),
        ("POST", "/v1.41/auth"),
        ("GET", "/v1.41/info"),
        ("GET", "/v1.41/events"),
        ("GET", "/v1.41/system/df"),
        ("POST", "/v1.41/containers/prune"),
        ("GET", "/v1.41/containers/postgres/json"),
        ("GET", "/v1.41/containers/abc123/json"),
        ("GET", "//v1.41/containers/json"),
        ("GET", "/v1.41//containers/json"),
        ("GET", "/v1.41/containers/json/"),
        ("GET", "/v1.41/./containers/json"),
        ("GET", f"/v1.41/containers/../containers/{SOME_ID}/json"),
        ("GET", f"/v1.41/containers/{SOME_ID}/%6ason"),
        ("GET", f"/v1.41/containers/%2e%2e/containers/{SOME_ID}/json"),
        ("GET", f"/v1.41/containers/{SOME_ID}%2fexec"),
        ("GET", f"/v1.41/containers/{SOME_ID.upper()}/json"),
        ("GET", f"/v1.41/Containers/{SOME_ID}/json"),
        ("GET", f"/v1.24/containers/{SOME_ID}/json"),
        ("GET", f"/v1.99/containers/{SOME_ID}/json"),
        ("GET", f"/v2/containers/{SOME_ID}/json"),
        ("GET", f"/v01.41/containers/{SOME_ID}/json"),
        ("GET", f"/containers/{SOME_ID}/json"),
        ("POST", "/containers/create"),
        ("GET", f"http://docker/v1.41/containers/{SOME_ID}/json"),
        ("OPTIONS", "/v1.41/containers/json"),
        ("OPTIONS", "*"),
        ("CONNECT", "docker:80"),
        ("PATCH", "/v1.41/containers/json"),
        ("get", f"/v1.41/containers/{SOME_ID}/json"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/metrics"),
        ("GET", f"/v1.41/containers/{SOME_ID}/json?size=1"),
        ("POST", f"/v1.41/containers/{SOME_ID}/stop?t=1&t=2"),
        ("POST", f"/v1.41/containers/{SOME_ID}/stop?t=1&signal=SIGKILL"),
        ("POST", f"/v1.41/containers/{SOME_ID}/stop?%74%00=1"),
        ("POST", "/v1.41/containers/create?name=tranship-run-a&platform=linux"),
        ("GET", "/v1.41/containers/json?filters={%22id%22:[%22a%22]}"),
    ],
)
@pytest.mark.parametrize("identity", ["daemon", "webserver"])
def test_a_call_outside_the_table_is_refused(
    gate: GateUnderTest, identity: str, method: str, target: str
):
    status, _ = gate.ask(method, target, path=getattr(gate, identity))
    assert status in (400, 403)
    assert gate.engine.requests == []


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/v1.41/containers/create", allowed_body()),
        ("GET", "/v1.41/containers/json?all=1", None),
        ("POST", f"/v1.41/containers/{SOME_ID}/start", None),
        ("GET", f"/v1.41/containers/{SOME_ID}/logs?stdout=1", None),
        ("DELETE", f"/v1.41/containers/{SOME_ID}", None),
        ("POST", "/v1.41/networks/runs/connect", {"Container": SOME_ID}),
        ("POST", "/v1.41/images/create?fromImage=tranship/user-code&tag=1", None),
    ],
)
def test_the_webserver_may_only_inspect_and_stop(
    gate: GateUnderTest, method: str, target: str, body: object
):
    status, _ = gate.ask(method, target, body, path=gate.webserver)
    assert status == 403
    assert gate.engine.requests == []


@pytest.mark.parametrize("action", ["json", "start", "stop", "logs", "delete"])
@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"dagster/run_id": "x"},
        {"tranship/deployment": "other"},
        {"Tranship/Deployment": "test"},
    ],
)
def test_a_container_that_is_not_ours_is_not_touched(
    gate: GateUnderTest, action: str, labels: dict[str, str]
):
    theirs = gate.engine.add(labels, Status="exited")
    before = json.dumps(theirs.inspect())
    method = {"json": "GET", "logs": "GET", "delete": "DELETE"}.get(action, "POST")
    end = "" if action == "delete" else f"/{action}"
    status, text = gate.ask(method, f"/v1.41/containers/{theirs.id}{end}")
    assert (status, "not one of this deployment" in text) == (403, True)
    assert json.dumps(gate.engine.containers[theirs.id].inspect()) == before
    assert [path for _, path, _, _ in gate.engine.requests] == [
        f"/v1.41/containers/{theirs.id}/json"
    ]


@pytest.mark.parametrize("identity", ["daemon", "webserver"])
def test_inspect_tells_state_and_limits_but_no_environment_and_no_command(
    gate: GateUnderTest, identity: str
):
    ours = gate.engine.add(LABELS, Status="running")
    ours.body["Env"] = ["PASSWORD=hunter2"]
    status, text = gate.ask(
        "GET", f"/v1.41/containers/{ours.id}/json", path=getattr(gate, identity)
    )
    seen = json.loads(text)
    assert status == 200
    assert seen["State"]["Status"] == "running"
    assert seen["Config"]["Labels"] == LABELS
    assert "hunter2" not in text
    assert "secret-in-args" not in text


def test_the_list_holds_this_deployments_containers_only(gate: GateUnderTest):
    ours = gate.engine.add(LABELS)
    gate.engine.add({"tranship/deployment": "other"})
    gate.engine.add({})
    status, text = gate.ask("GET", "/v1.41/containers/json?all=1")
    assert status == 200
    assert [entry["Id"] for entry in json.loads(text)] == [ours.id]
    assert "secret-in-args" not in text
    assert json.loads(gate.engine.requests[0][2]["filters"]) == {
        "label": ["tranship/deployment=test"]
    }


def test_a_running_container_is_never_removed_by_force(gate: GateUnderTest):
    ours = gate.engine.add(LABELS, Status="running")
    assert gate.ask("DELETE", f"/v1.41/containers/{ours.id}?force=1")[0] == 403
    assert (
        gate.ask("DELETE", f"/v1.41/containers/{ours.id}?v=True&link=False&force=False")[0] == 204
    )
    assert gate.engine.calls(ours.id)[-1][2] == {"v": "1", "force": "0"}


def test_a_container_whose_hardening_is_not_in_force_is_not_started(gate: GateUnderTest):
    ours = gate.engine.add(LABELS)
    ours.body["HostConfig"]["Privileged"] = True
    assert gate.ask("POST", f"/v1.41/containers/{ours.id}/start")[0] == 403
    assert gate.engine.calls("/start") == []


def test_a_run_container_joins_allowed_networks_only(gate: GateUnderTest):
    ours, theirs = gate.engine.add(LABELS), gate.engine.add({})
    join = {"Container": ours.id, "EndpointConfig": None}
    assert gate.ask("POST", "/v1.41/networks/data/connect", join)[0] == 204
    assert gate.ask("POST", "/v1.41/networks/bridge/connect", join)[0] == 403
    assert gate.ask("POST", "/v1.41/networks/data/connect", {"Container": theirs.id})[0] == 403
    aliased = {**join, "EndpointConfig": {"Aliases": ["postgres"]}}
    assert gate.ask("POST", "/v1.41/networks/data/connect", aliased)[0] == 403
    assert len(gate.engine.calls("/connect")) == 1


HEAD = b"POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = json.dumps(allowed_body()).encode()


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        HEAD + b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: %d\r\nContent-Length: 5\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: +%d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: %d\r\nContent-Encoding: gzip\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: %d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Content-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s" % (len(BODY), BODY),
        HEAD.replace(b"application/json", b"application/x-www-form-urlencoded") + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD.replace(b"application/json", b"application/json; charset=utf-16") + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD.replace(b"1.1\r\n", b"1.0\r\n", 1).replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b" folded: header\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"\r\n",
        HEAD + b"Content-Length: %d\r\n\r\n%s" % (10_000_000, b" " * 10_000_000),
        HEAD + b"Content-Length: %d\r\n\r\n%s" % (300_000, b" " * 300_000),
        HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        b"GARBAGE\r\n\r\n",
    ],
)  # fmt: skip
def test_tricks_with_the_transfer_are_refused(gate: GateUnderTest, raw: bytes):
    answers = gate.send(raw)
    assert [status for status, _ in answers] in ([400], [403], [417])
    assert gate.engine.requests == []


def test_each_pipelined_request_is_judged_by_itself_and_a_refusal_ends_the_connection(
    gate: GateUnderTest,
):
    good = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    bad = b"POST /v1.41/swarm/init HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    answers = gate.send(good + bad + good)
    assert [status for status, _ in answers] == [200, 403]
    assert [path for _, path, _, _ in gate.engine.requests] == ["/_ping"]


def test_a_body_hidden_in_a_call_without_body_is_refused(gate: GateUnderTest):
    ours = gate.engine.add(LABELS)
    status, _ = gate.ask("POST", f"/v1.41/containers/{ours.id}/start", {"HostConfig": {}})
    assert status == 400
    assert gate.engine.requests == []


def test_pulling_is_off_unless_the_deployment_says_so(gate: GateUnderTest):
    target = "/v1.41/images/create?fromImage=tranship/user-code&tag=2"
    status, text = gate.ask("POST", target)
    assert (status, "GATE_ALLOW_PULL" in text) == (403, True)


def test_an_engine_that_is_gone_fails_every_call_closed(gate: GateUnderTest):
    gate.daemon.with_name("engine").unlink()
    for method, target in [("GET", "/version"), ("GET", f"/v1.41/containers/{SOME_ID}/json")]:
        status, text = gate.ask(method, target)
        assert (status, "the engine cannot be reached" in text) == (502, True)


def test_many_idle_connections_of_one_identity_do_not_keep_the_other_out(gate: GateUnderTest):
    idle = []
    try:
        for _ in range(200):
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(str(gate.webserver))
            idle.append(channel)
        assert gate.ask("GET", "/_ping")[0] == 200
    finally:
        for channel in idle:
            channel.close()
