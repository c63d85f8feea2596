"""What each allowed call does: check, ask the engine with rebuilt parts, answer with chosen fields.

A container is looked at before it is touched, by its full id: ids are never used again and labels never
change, so what was true of the label at the check is true at the call. Names are not taken as
references, because a name can pass to another container in between.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from gate import create_body
from gate.engine import Answer, Engine
from gate.policy import DEPLOYMENT_LABEL, MEMORY_LABEL, Policy
from gate.refusals import RefusedError, forbidden, malformed
from gate.routes import NEWEST_API_MINOR, Call
from gate.strict_json import parse_object
from gate.values import mapping

#: States in which nothing of a container runs any more, nor will: https://docs.docker.com/reference/api/engine/
_ENDED = frozenset({"exited", "dead", "removing"})
MAX_LOG_LINES = 2000
MAX_LOG_BYTES = 1024 * 1024
_TRUE = frozenset({"1", "true", "True"})
_FALSE = frozenset({"", "0", "false", "False"})


@dataclass(frozen=True, slots=True)
class Request:
    """A call with what came along with it.

    Args:
        call: The matched call.
        body: Parsed JSON body; empty where none belongs to the call.
        registry_auth: The `X-Registry-Auth` header, or an empty text.
    """

    call: Call
    body: Mapping[str, object]
    registry_auth: str = ""

    def flag(self, name: str) -> bool:
        """Read a boolean parameter in the spellings that clients use."""
        value = self.call.parameters.get(name, "")
        if value not in _TRUE | _FALSE:
            raise malformed(f"the parameter {name} must be 0 or 1")
        return value in _TRUE


class Operations:
    """The allowed calls, over one engine and one policy.

    Args:
        engine: The engine.
        policy: What run containers may be.
    """

    def __init__(self, engine: Engine, policy: Policy):
        self._engine = engine
        self._policy = policy
        # One at a time: of two that count at once, both would find room for one.
        self._creating = asyncio.Lock()

    async def carry_out(self, request: Request) -> Answer:
        """Carry out a call that matched the table of routes.

        Raises:
            RefusedError: It is refused, or the engine fails.
        """
        return await getattr(self, request.call.route.operation)(request)

    async def ping(self, request: Request) -> Answer:
        """Whether the engine answers."""
        answer = await self._engine.call("GET", f"{request.call.version}/_ping", timeout_seconds=5)
        return Answer(answer.status, "text/plain", b"OK" if answer.status == 200 else b"")

    async def version(self, request: Request) -> Answer:
        """The engine's version, with the API version capped at the newest one the gate understands."""
        answer = await self._engine.call(
            "GET", f"{request.call.version}/version", timeout_seconds=10
        )
        if answer.status != 200:
            return _passed_on(answer)
        told = _object(answer)
        major, _, minor = str(told.get("ApiVersion", "")).partition(".")
        if major != "1" or not minor.isdigit():
            raise RefusedError(502, "the engine tells no API version")
        capped = f"1.{min(int(minor), NEWEST_API_MINOR)}"
        return _json(200, {**_chosen(told, "Version MinAPIVersion Os Arch"), "ApiVersion": capped})

    async def create(self, request: Request) -> Answer:
        """Create a run container from a rebuilt body."""
        body = create_body.rebuild(request.body, self._policy)
        parameters = {}
        if name := request.call.parameters.get("name"):
            parameters["name"] = create_body.container_name(name, self._policy)
        async with self._creating:
            await self._refuse_too_many(body, request)
            answer = await self._engine.call(
                "POST",
                f"{request.call.version}/containers/create",
                parameters=parameters,
                body=body,
                timeout_seconds=120,
            )
        if answer.status != 201:
            return _passed_on(answer)
        return _json(201, _chosen(_object(answer), "Id Warnings"))

    async def inspect(self, request: Request) -> Answer:
        """What may be known of a run container: its state and limits, no environment, no command."""
        told = await self._ours(request.call.ref, request)
        config = mapping(told.get("Config"), "Config")
        host = mapping(told.get("HostConfig"), "HostConfig")
        seen = _chosen(told, "Id Name Created State Image RestartCount")
        seen["Config"] = _chosen(config, "Image Labels Tty User")
        seen["HostConfig"] = _chosen(host, "Memory NanoCpus PidsLimit NetworkMode")
        return _json(200, seen)

    async def start(self, request: Request) -> Answer:
        """Start a run container, once the engine's own account of it shows the hardening in force."""
        told = await self._ours(request.call.ref, request)
        host = mapping(told.get("HostConfig"), "HostConfig")
        joined = mapping(told.get("NetworkSettings"), "NetworkSettings").get("Networks")
        as_built = (
            host.get("Privileged") is False
            and not host.get("CapAdd")
            and not host.get("Binds")
            and not host.get("Devices")
            and host.get("CapDrop") == ["ALL"]
            and host.get("NetworkMode") not in ("host", "default", "bridge")
            and bool(joined)
            and set(mapping(joined, "Networks")) <= self._policy.networks
        )
        if not as_built:
            raise forbidden("the engine's account of the container is not what the gate asked for")
        return await self._act(request, "POST", "/start", timeout_seconds=120)

    async def stop(self, request: Request) -> Answer:
        """Stop a run container: SIGTERM, then SIGKILL after `t` seconds."""
        await self._ours(request.call.ref, request)
        grace = _whole(request, "t", self._policy.max_stop_seconds, missing=10)
        parameters = {"t": str(grace)} if "t" in request.call.parameters else {}
        return await self._act(
            request, "POST", "/stop", parameters, timeout_seconds=self._policy.max_stop_seconds + 30
        )

    async def remove(self, request: Request) -> Answer:
        """Remove a run container that does not run, with its anonymous volumes."""
        await self._ours(request.call.ref, request)
        if request.flag("force") or request.flag("link"):
            raise forbidden("force and link are not allowed: only a stopped container is removed")
        parameters = {"v": "1" if request.flag("v") else "0", "force": "0"}
        return await self._act(request, "DELETE", "", parameters, timeout_seconds=60)

    async def logs(self, request: Request) -> Answer:
        """The last lines of a run container's output."""
        await self._ours(request.call.ref, request)
        if request.flag("follow") or request.call.parameters.get("since", "0") != "0":
            raise forbidden("follow and since are not allowed")
        if request.call.parameters.get("until", "0") != "0":
            raise forbidden("until is not allowed")
        parameters = {
            "tail": str(_whole(request, "tail", MAX_LOG_LINES, missing=MAX_LOG_LINES)),
            **{name: str(int(request.flag(name))) for name in ("stdout", "stderr", "timestamps")},
        }
        answer = await self._engine.call(
            "GET",
            f"{request.call.version}/containers/{request.call.ref}/logs",
            parameters=parameters,
            keep=MAX_LOG_BYTES,
        )
        if answer.status != 200:
            return _passed_on(answer)
        return Answer(200, "application/octet-stream", answer.body)

    async def list_containers(self, request: Request) -> Answer:
        """List this deployment's run containers and no others."""
        labels: list[str] = []
        filters = parse_object(request.call.parameters.get("filters", "{}").encode())
        for key, values in filters.items():
            wanted = list(values) if isinstance(values, (list, dict)) else []
            if key != "label" or not all(isinstance(value, str) for value in wanted):
                raise forbidden("filters may hold label only")
            labels += [str(value) for value in wanted]
        answer = await self._list(request, labels, ended_too=request.flag("all"))
        if answer.status != 200:
            return _passed_on(answer)
        seen = [
            _chosen(item, "Id Names Image Created State Status Labels")
            for item in self._listed(answer)
        ]
        return _json(200, seen)

    async def connect(self, request: Request) -> Answer:
        """Join a run container to a further allowed network."""
        network = request.call.ref
        if network not in self._policy.networks:
            raise forbidden(f"network {network!r} is not allowed (GATE_NETWORKS)")
        container = create_body.connect_body(request.body)
        await self._ours(container, request)
        answer = await self._engine.call(
            "POST",
            f"{request.call.version}/networks/{network}/connect",
            body={"Container": container},
        )
        return _passed_on(answer)

    async def pull(self, request: Request) -> Answer:
        """Pull an image of an allowed repository, where the deployment has a registry."""
        if not self._policy.allow_pull:
            raise forbidden("pulling images is switched off (GATE_ALLOW_PULL)")
        repository = request.call.parameters.get("fromImage", "")
        tag = request.call.parameters.get("tag", "")
        if not tag:
            raise forbidden("a pull needs a tag")
        separator = "@" if tag.startswith("sha256:") else ":"
        create_body.image_reference(f"{repository}{separator}{tag}", self._policy)
        headers = {}
        if request.registry_auth:
            headers["X-Registry-Auth"] = _registry_auth(request.registry_auth)
        answer = await self._engine.call(
            "POST",
            f"{request.call.version}/images/create",
            parameters={"fromImage": repository, "tag": tag},
            headers=headers,
            timeout_seconds=1800,
            keep=MAX_LOG_BYTES,
            cut=True,
        )
        if answer.status != 200:
            return _passed_on(answer)
        # Progress comes as a line of JSON each; the last ones tell the outcome, the first may be cut.
        return Answer(200, "application/json", b"\n".join(answer.body.splitlines()[-20:]))

    async def _refuse_too_many(self, body: Mapping[str, object], request: Request) -> None:
        """Refuse a container beyond what may live at once: each alone within its limits, many fill a host."""
        answer = await self._list(request, [], ended_too=True)
        if answer.status != 200:
            raise RefusedError(502, f"the engine's list cannot be had: status {answer.status}")
        living = [item for item in self._listed(answer) if item.get("State") not in _ENDED]
        if len(living) >= self._policy.max_containers:
            raise RefusedError(
                503, f"{len(living)} run containers live, and no more may (GATE_MAX_CONTAINERS)"
            )
        used = sum(self._memory_of(item) for item in living)
        asked = mapping(body["HostConfig"], "HostConfig")["Memory"]
        assert isinstance(asked, int)
        if used + asked > self._policy.max_total_memory_bytes:
            raise RefusedError(
                503,
                f"{len(living)} living run containers may use {used} bytes of memory, {asked} more would be over "
                f"{self._policy.max_total_memory_bytes} (GATE_MAX_TOTAL_MEMORY)",
            )

    def _memory_of(self, item: Mapping[str, object]) -> int:
        """What a listed container may use; one of before the label may have had all that one may."""
        told = mapping(item.get("Labels"), "Labels").get(MEMORY_LABEL)
        if not isinstance(told, str) or not told.isascii() or not told.isdigit():
            return self._policy.max_memory_bytes
        return int(told)

    async def _list(self, request: Request, labels: list[str], *, ended_too: bool) -> Answer:
        ours = f"{DEPLOYMENT_LABEL}={self._policy.deployment}"
        return await self._engine.call(
            "GET",
            f"{request.call.version}/containers/json",
            parameters={
                "all": "1" if ended_too else "0",
                "filters": json.dumps({"label": [ours, *labels]}),
            },
        )

    def _listed(self, answer: Answer) -> list[dict[str, object]]:
        """The containers of a list that are this deployment's run containers."""
        listed = answer.json()
        if not isinstance(listed, list):
            raise RefusedError(502, "the engine's list is none")
        return [
            item
            for item in listed
            if isinstance(item, dict)
            and (item.get("Labels") or {}).get(DEPLOYMENT_LABEL) == self._policy.deployment
        ]

    async def _ours(self, container_id: str, request: Request) -> dict[str, object]:
        """Inspect a container and make sure that it is one of this deployment's run containers."""
        answer = await self._engine.call(
            "GET", f"{request.call.version}/containers/{container_id}/json"
        )
        if answer.status == 404:
            raise RefusedError(404, f"No such container: {container_id}")
        if answer.status != 200:
            raise RefusedError(
                502, f"the engine cannot tell of the container: status {answer.status}"
            )
        told = _object(answer)
        labels = mapping(mapping(told.get("Config"), "Config").get("Labels"), "Labels")
        if (
            told.get("Id") != container_id
            or labels.get(DEPLOYMENT_LABEL) != self._policy.deployment
        ):
            raise forbidden("the container is not one of this deployment's run containers")
        return told

    async def _act(
        self,
        request: Request,
        method: str,
        action: str,
        parameters: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        path = f"{request.call.version}/containers/{request.call.ref}{action}"
        answer = await self._engine.call(
            method, path, parameters=parameters, timeout_seconds=timeout_seconds
        )
        return _passed_on(answer)


def _whole(request: Request, name: str, highest: int, *, missing: int) -> int:
    text = request.call.parameters.get(name)
    if text is None:
        return missing
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > highest:
        raise forbidden(f"the parameter {name} must be a number up to {highest}")
    return int(text)


def _registry_auth(header: str) -> str:
    """Rebuild the header from the fields that a registry login has."""
    try:
        fields = parse_object(base64.urlsafe_b64decode(header.encode("ascii")))
    except (ValueError, binascii.Error):
        raise malformed("X-Registry-Auth is not base64") from None
    known = {"username", "password", "email", "serveraddress", "identitytoken", "registrytoken"}
    if set(fields) - known or not all(isinstance(value, str) for value in fields.values()):
        raise malformed("X-Registry-Auth holds something that is no registry login")
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def _object(answer: Answer) -> dict[str, object]:
    told = answer.json()
    if not isinstance(told, dict):
        raise RefusedError(502, "the engine's answer is not an object")
    return told


def _chosen(told: Mapping[str, object], names: str) -> dict[str, object]:
    return {name: told[name] for name in names.split() if name in told}


def _json(status: int, value: object) -> Answer:
    return Answer(status, "application/json", json.dumps(value).encode())


def _passed_on(answer: Answer) -> Answer:
    """Pass on a status, and of the body the engine's error text alone."""
    if answer.status in (200, 201, 204, 304):
        return Answer(204 if answer.status != 304 else 304, "application/json", b"")
    try:
        message = str(_object(answer).get("message", ""))[:2000]
    except RefusedError:
        message = ""
    return _json(answer.status, {"message": message})
