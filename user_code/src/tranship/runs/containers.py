"""What is asked of the engine about run containers: their images, their state in words, their last output, their names."""

# Docker's client has no stubs; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker
import tenacity
from docker import errors as docker_errors
from docker.utils import parse_repository_tag

from tranship.errors import TranshipError
from tranship.runs.limits import MEMORY_TAG, in_words

DEPLOYMENT_LABEL = "tranship/deployment"
RUN_ID_LABEL = "dagster/run_id"
JOB_NAME_LABEL = "dagster/job_name"

_ENDED = frozenset({"exited", "dead", "removing"})
_LOG_BYTES = 8_000
_SIGNALS = {
    134: "aborted (SIGABRT)",
    137: "killed (SIGKILL): by hand, by the host running out of memory, or at the end of a stop",
    139: "crashed (SIGSEGV)",
    143: "stopped (SIGTERM)",
}
_LOGGER = logging.getLogger("dagster.tranship.runs")

#: Answers that another try may change: registries say 401 now and then to a login that is right
#: (https://github.com/dagster-io/dagster/issues/17814).
_MAY_PASS = frozenset({401, 408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A run container as the engine last saw it.

    Args:
        container_id: Full id.
        name: Name without the engine's leading slash.
        status: The engine's word: created, running, paused, restarting, removing, exited, dead.
        exit_code: Exit code; it tells something only once the container has ended.
        out_of_memory: Whether the kernel killed one of its processes for memory.
        error: What kept it from starting, in the engine's words.
        memory_bytes: Its memory limit; 0 for none.
        image: Image reference it was made from.
        labels: Its labels.
        created: When it was made.
        finished: When it ended; `None` while it has not.
    """

    container_id: str
    name: str
    status: str
    exit_code: int
    out_of_memory: bool
    error: str
    memory_bytes: int
    image: str
    labels: Mapping[str, str]
    created: datetime | None
    finished: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing runs in it any more, and nothing will."""
        return self.status in _ENDED

    @property
    def run_id(self) -> str:
        """The run it was made for; empty where it does not say."""
        return self.labels.get(RUN_ID_LABEL, "")

    def in_words(self) -> str:
        """Say what became of it, and what to do where that is known."""
        who = f"Container {self.name} ({self.container_id[:12]})"
        if not self.ended:
            return f"{who} is {self.status}."
        ending = f"{who} ended with exit code {self.exit_code}"
        if self.out_of_memory:
            return (
                f"{ending}: out of memory. Its limit is {in_words('memory', self.memory_bytes or None)}; give the"
                f" job more with the tag {MEMORY_TAG}, or let it do less at once."
            )
        if self.error:
            return f"{ending}: {self.error}"
        if self.exit_code in _SIGNALS:
            return f"{ending}: {_SIGNALS[self.exit_code]}."
        return f"{ending}."


def find_state(client: docker.DockerClient, container_id: str) -> ContainerState | None:
    """Ask the engine for a container's state.

    Returns:
        The state, or `None` when there is no such container.

    Raises:
        docker.errors.DockerException: The engine, or the gate in front of it, fails or refuses.
    """
    try:
        container: dict[str, Any] = client.api.inspect_container(container_id)
    except docker_errors.NotFound:
        return None
    state, config = container.get("State") or {}, container.get("Config") or {}
    return ContainerState(
        container_id=container["Id"],
        name=str(container.get("Name", "")).lstrip("/"),
        status=str(state.get("Status", "")),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        memory_bytes=int((container.get("HostConfig") or {}).get("Memory") or 0),
        image=str(config.get("Image", "")),
        labels=config.get("Labels") or {},
        created=engine_time(container.get("Created")),
        finished=engine_time(state.get("FinishedAt")),
    )


def last_output(client: docker.DockerClient, container_id: str, lines: int) -> str:
    """Give the last lines a container wrote, at most 8,000 bytes of them.

    Raises:
        docker.errors.DockerException: The engine, or the gate in front of it, fails or refuses.
    """
    raw: bytes = client.api.logs(container_id, stdout=True, stderr=True, tail=lines)
    return raw[-_LOG_BYTES:].decode("utf-8", errors="replace").strip()


def container_name(prefix: str, job_name: str, run_id: str, attempt: str = "") -> str:
    """Name a run's container so that `docker ps` says what runs.

    Example:
        >>> container_name("tranship-run-", "run_etl_job", "6f1c2a3b-9d1e-4a5b-8c7d-0123456789ab")
        'tranship-run-run_etl_job-6f1c2a3b9d1e'
        >>> container_name("tranship-run-", "__ASSET_JOB", "6f1c2a3b-9d1e-4a5b-8c7d-0123456789ab", "2")
        'tranship-run-ASSET_JOB-6f1c2a3b9d1e-2'
    """
    job = re.sub(r"[^A-Za-z0-9_.-]+", "-", job_name).strip("_.-")[:60] or "job"
    end = f"-{attempt}" if attempt else ""
    return f"{prefix}{job}-{run_id.replace('-', '')[:12]}{end}"


def engine_time(text: object) -> datetime | None:
    """Read the engine's time stamps; its zero time means that the thing has not happened.

    Example:
        >>> engine_time("2026-11-01T12:00:00.123456789Z")
        datetime.datetime(2026, 11, 1, 12, 0, tzinfo=datetime.timezone.utc)
        >>> engine_time("0001-01-01T00:00:00Z") is None
        True
    """
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", str(text or ""))
    if not match or match[1].startswith("0001"):
        return None
    return datetime.fromisoformat(f"{match[1]}+00:00")


class ImageNotAvailableError(TranshipError):
    """A run's image is not on the host and could not be pulled.

    What to do: Build the image on the host, or check the registry's address and login.
    """


def pull_image(
    client: docker.DockerClient,
    image: str,
    registry: Mapping[str, str] | None,
    attempts: int,
    wait: tenacity.wait.wait_base | None = None,
) -> None:
    """Pull an image, again while the registry fails.

    Args:
        client: The engine, or the gate in front of it.
        image: Image reference; without a tag `latest` is meant.
        registry: `{url, username, password}` of a private registry.
        attempts: How often it is tried at most.
        wait: Pause between two tries; by default random and growing up to 30 seconds.

    Raises:
        ImageNotAvailableError: It could not be pulled; says what the engine said.
    """
    repository, tag = parse_repository_tag(image)
    login = None if registry is None else _login(registry)

    def pull() -> None:
        answer = client.api.pull(
            repository, tag or "latest", auth_config=login, stream=True, decode=True
        )
        for line in answer:
            # A pull that fails half-way is told in a stream whose status was 200.
            if "error" in line:
                raise docker_errors.DockerException(str(line["error"]))

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=wait or tenacity.wait_random_exponential(multiplier=1, max=30),
        retry=tenacity.retry_if_exception(_may_pass),
        before_sleep=tenacity.before_sleep_log(_LOGGER, logging.WARNING),
        reraise=True,
    )
    try:
        retrying(pull)
    except docker_errors.DockerException as error:
        raise ImageNotAvailableError(
            f"Image {image} is not on this host and could not be pulled:"
            f" {getattr(error, 'explanation', None) or error}.",
            "Build it here, or check the registry's address and login.",
        ) from error


def _login(registry: Mapping[str, str]) -> dict[str, str]:
    """What Docker's client calls the settings of a registry."""
    return {
        "username": registry["username"],
        "password": registry["password"],
        "serveraddress": registry["url"],
    }


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, docker_errors.APIError):
        return error.status_code in _MAY_PASS
    return isinstance(error, docker_errors.DockerException)
