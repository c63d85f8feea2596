"""`ContainerRunLauncher`: each run in a Docker container of its own, and no run whose end goes unexplained."""

# Docker's client has no stubs; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import logging
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import docker
from dagster_docker import DockerRunLauncher
from dagster_docker.container_context import DockerContainerContext
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG
from docker import errors as docker_errors
from docker.types import Mount
from typing_extensions import override

from tranship.dagster_private.instance_parts import ConfigurableClassData
from tranship.dagster_private.launching import (
    CheckRunHealthResult,
    ExecuteRunArgs,
    LaunchRunContext,
    ResumeRunArgs,
    ResumeRunContext,
    WorkerStatus,
    parse_env_var,
)
from tranship.dagster_private.tags import DOCKER_IMAGE_TAG, MAX_RETRIES_TAG
from tranship.errors import TranshipError
from tranship.runs import containers
from tranship.runs.config import LAUNCHER_SCHEMA, Retention, SecretsVolume
from tranship.runs.containers import ContainerState, find_state, last_output, pull_image
from tranship.runs.janitor import sweep
from tranship.runs.keeper import RunKeeper, forbid_pointless_retry
from tranship.runs.limits import Limits, RunLimitError, limits_of_run
from tranship.runs.worker import worker_command

_LOGGER = logging.getLogger("dagster.tranship.runs")
_NO_LONGER_WANTED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})
#: Arguments that the launcher sets itself, from limits and labels.
_OWN_ARGUMENTS = frozenset(
    {"labels", "stop_timeout", "mem_limit", "memswap_limit", "nano_cpus", "pids_limit"}
)


class ContainerRunLauncher(DockerRunLauncher):
    """Launches each run in a Docker container of its own.

    Takes the configuration of `dagster_docker.DockerRunLauncher` unchanged, and more: limits by tag under a
    ceiling, secrets from volumes, retried pulls, retention. A run whose container ends before the run has
    started fails within a second, with exit code, out-of-memory and the last output in its events.

    The engine is found by `DOCKER_HOST`; behind the gate (docker/gate) that is a Unix socket.

    Args:
        inst_data: Dagster's own.
        deployment: Value of the label `tranship/deployment`.
        name_prefix: What container names begin with.
        optional_env_vars: Names of variables that a run gets where they are set.
        limits: What a run gets without tags: `{memory, cpus, pids}`.
        ceiling: What no run may exceed.
        secrets: Volumes of secrets: `[{volume, path}]`.
        pull_attempts: How often a pull is tried.
        log_tail_lines: How many last lines of a dead container are shown.
        retention: `{finished_hours, failed_hours, sweep_minutes}`.
        **stock: `image`, `registry`, `env_vars`, `network`, `networks`, `container_kwargs`.

    Example:
        In dagster.yaml::

            run_launcher:
              module: tranship.runs
              class: ContainerRunLauncher
              config:
                network: tranship
                limits: {memory: 1g, cpus: "1", pids: 256}
                ceiling: {memory: 4g, cpus: "2", pids: 512}
                secrets: [{volume: tranship-secrets, path: /run/secrets/data}]
    """

    def __init__(
        self,
        inst_data: ConfigurableClassData | None = None,
        *,
        deployment: str = "tranship",
        name_prefix: str = "tranship-run-",
        optional_env_vars: Sequence[str] = (),
        limits: Mapping[str, Any] | None = None,
        ceiling: Mapping[str, Any] | None = None,
        secrets: list[dict[str, str]] | None = None,
        pull_attempts: int = 3,
        log_tail_lines: int = 50,
        retention: Mapping[str, float] | None = None,
        **stock: Any,
    ):
        super().__init__(inst_data, **stock)
        self._deployment = deployment
        self._name_prefix = name_prefix
        self._optional_env_vars = optional_env_vars
        self._limits = Limits.from_config(limits, "run_launcher.config.limits")
        self._ceiling = Limits.from_config(ceiling, "run_launcher.config.ceiling")
        self._secrets = [SecretsVolume(**entry) for entry in secrets or []]
        self._pull_attempts = pull_attempts
        self._log_tail_lines = log_tail_lines
        self._retention = Retention.from_config(retention)
        self._clients = threading.local()
        self._keeper = RunKeeper(
            self._living_instance,
            self,
            self._sweep,
            sweep_seconds=self._retention.sweep_minutes * 60,
            logger=_LOGGER,
        )

    @classmethod
    @override
    def config_type(cls) -> dict[str, dg.Field]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return LAUNCHER_SCHEMA

    # ---- launching ----

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        self._launch(context, ExecuteRunArgs)

    @override
    def resume_run(self, context: ResumeRunContext) -> None:
        self._launch(context, ResumeRunArgs)

    def _launch(
        self,
        context: LaunchRunContext | ResumeRunContext,
        arguments: type[ExecuteRunArgs] | type[ResumeRunArgs],
    ) -> None:
        origin = context.job_code_origin
        if origin is None:
            raise dg.DagsterInvariantViolationError(
                f"Run {context.dagster_run.run_id} has no code origin. Launch it from a code location."
            )
        command = arguments(
            job_origin=origin,
            run_id=context.dagster_run.run_id,
            instance_ref=self._instance.get_ref(),
            # Otherwise the container of a failed run exits with 0.
            set_exit_code_on_failure=True,
        ).get_command_args()
        command = worker_command(
            [volume.path for volume in self._secrets],
            command,
            python=origin.repository_origin.executable_path or "python",
        )
        self._keeper.start()
        try:
            self._launch_container_with_command(
                context.dagster_run, self._get_docker_image(origin), command
            )
        except TranshipError as error:
            # Dagster's own event says no more than that launching failed, and folds the reason away.
            self._instance.report_engine_event(str(error), context.dagster_run, cls=self.__class__)
            raise

    @override
    def _launch_container_with_command(
        self, run: dg.DagsterRun, docker_image: str, command: list[str]
    ) -> None:
        context = self.get_container_context(run)
        limits = self._limits_of(run, context)
        container_id, name = self._create(run, context, docker_image, command, limits)
        client = self.client()
        try:
            for network in context.networks[1:]:
                client.api.connect_container_to_network(container_id, network)
            self._instance.add_run_tags(
                run.run_id, {DOCKER_CONTAINER_ID_TAG: container_id, DOCKER_IMAGE_TAG: docker_image}
            )
            if self._was_canceled(run):
                client.api.remove_container(container_id)
                return
            self._instance.report_engine_event(
                f"Launching the run in container {name} ({container_id[:12]}) with image {docker_image}:"
                f" {limits}.",
                run,
                cls=self.__class__,
            )
            client.api.start(container_id)
        except Exception:
            self._remove_leftover(container_id, name)
            raise
        self._keeper.watch(run.run_id, container_id)

    def _limits_of(self, run: dg.DagsterRun, context: DockerContainerContext) -> Limits:
        try:
            return limits_of_run(run.tags, context.container_kwargs, self._limits, self._ceiling)
        except RunLimitError:
            # The same run would fail in the same way: no automatic retry.
            self._instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: "0"})
            raise

    def _create(
        self,
        run: dg.DagsterRun,
        context: DockerContainerContext,
        image: str,
        command: list[str],
        limits: Limits,
    ) -> tuple[str, str]:
        """Create the container, pulling its image if it is missing; gives id and name."""
        arguments = self._container_arguments(run, context, limits)
        attempt, pulled = "", False
        while True:
            name = containers.container_name(self._name_prefix, run.job_name, run.run_id, attempt)
            try:
                created = self.client().containers.create(
                    image, command, name=name, detach=True, **arguments
                )
            except docker_errors.ImageNotFound:
                if pulled or self._pull_attempts < 1:
                    raise
                pull_image(self.client(), image, context.registry, self._pull_attempts)
                pulled = True
            except docker_errors.APIError as error:
                if error.status_code != 409 or attempt:
                    raise
                # The name is taken: by the container of an earlier attempt at this run.
                attempt = secrets.token_hex(2)
            else:
                return str(created.id), name

    def _container_arguments(
        self, run: dg.DagsterRun, context: DockerContainerContext, limits: Limits
    ) -> dict[str, Any]:
        given = dict(context.container_kwargs)
        labels = given.get("labels") or {}
        if not isinstance(labels, Mapping):
            labels = dict.fromkeys(labels, "")
        environment = limits.environment() | {
            name: os.environ[name] for name in self._optional_env_vars if os.environ.get(name)
        }
        environment |= dict(parse_env_var(variable) for variable in context.env_vars)
        mounts = [
            Mount(volume.path, volume.volume, type="volume", read_only=True)
            for volume in self._secrets
        ]
        return {
            **{key: value for key, value in given.items() if key not in _OWN_ARGUMENTS},
            **limits.container_arguments(),
            "environment": {**environment, "DAGSTER_RUN_JOB_NAME": run.job_name},
            "network": context.networks[0] if context.networks else None,
            "mounts": [*given.get("mounts", []), *mounts],
            "labels": {
                **labels,
                containers.RUN_ID_LABEL: run.run_id,
                containers.JOB_NAME_LABEL: run.job_name,
                containers.DEPLOYMENT_LABEL: self._deployment,
            },
        }

    def _was_canceled(self, run: dg.DagsterRun) -> bool:
        """Whether somebody canceled the run while its container was being made."""
        current = self._instance.get_run_by_id(run.run_id)
        if current is None or current.status not in _NO_LONGER_WANTED:
            return False
        if current.status == dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(
                current, "Canceled before its container was started."
            )
        return True

    def _remove_leftover(self, container_id: str, name: str) -> None:
        try:
            self.client().api.remove_container(container_id)
        except docker_errors.DockerException:
            # The error that brought us here matters more; the janitor removes the container later.
            _LOGGER.exception("Container %s could not be removed after a failed launch.", name)

    # ---- watching ----

    @override
    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        # Read again: a launch that is under way looks for this request after it has written the tag.
        run = self._instance.get_run_by_id(run_id) or run
        container_id = run.tags.get(DOCKER_CONTAINER_ID_TAG)
        if not container_id:
            # Its container is being made; `_was_canceled` sees the request before it starts.
            self._instance.report_engine_event(
                "The run has no container yet; it will not be started.", run, cls=self.__class__
            )
            return False
        try:
            self.stop(run, container_id)
        except docker_errors.NotFound:
            ending = "Its container is gone."
        else:
            state = find_state(self.client(), container_id)
            ending = state.in_words() if state else "Its container is gone."
        # The engine answers once nothing runs any more. A worker that was killed has told nobody.
        current = self._instance.get_run_by_id(run_id)
        if current is not None and current.status == dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(current, f"The run was canceled. {ending}")
        return True

    @override
    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        self._keeper.start()
        container_id = run.tags.get(DOCKER_CONTAINER_ID_TAG)
        if not container_id:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The run has no container.")
        state = find_state(self.client(), container_id)
        if state is None:
            return CheckRunHealthResult(
                WorkerStatus.NOT_FOUND,
                f"Container {container_id[:12]} is gone: somebody removed it.",
            )
        if not state.ended:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=container_id)
        # Whoever asks this of an ended container marks its run as failed next.
        retried = forbid_pointless_retry(self._instance, run, state)
        message = " ".join(filter(None, [retried, self.explain(state)]))
        return CheckRunHealthResult(WorkerStatus.FAILED, message, run_worker_id=container_id)

    @override
    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        self._keeper.start()
        container_id = run.tags.get(DOCKER_CONTAINER_ID_TAG)
        state = find_state(self.client(), container_id) if container_id else None
        if state is None:
            return "The run's container was never made, or is gone."
        return self.explain(state) if include_container_logs else state.in_words()

    def explain(self, state: ContainerState) -> str:
        """Say what became of a container, with its last output."""
        try:
            output = last_output(self.client(), state.container_id, self._log_tail_lines)
        except docker_errors.APIError as error:
            return f"{state.in_words()} Its output cannot be read: {error.explanation or error}"
        if not output:
            return f"{state.in_words()} It wrote nothing."
        return f"{state.in_words()} Its last output:\n{output}"

    def stop(self, run: dg.DagsterRun, container_id: str) -> None:
        """Stop a container within the grace that its run has."""
        grace = self.get_container_context(run).container_kwargs.get("stop_timeout")
        self.client().api.stop(container_id, timeout=grace)

    def running(self) -> dict[str, str]:
        """The containers of this deployment that run now, with the ids of their runs."""
        listed = self.client().api.containers(filters={"label": [self._label]})
        labels = {entry["Id"]: entry.get("Labels") or {} for entry in listed}
        return {
            container_id: of[containers.RUN_ID_LABEL]
            for container_id, of in labels.items()
            if of.get(containers.RUN_ID_LABEL)
        }

    @property
    def _label(self) -> str:
        return f"{containers.DEPLOYMENT_LABEL}={self._deployment}"

    def client(self) -> docker.DockerClient:
        """Give the calling thread's client; making one asks the engine for its version, so it is kept."""
        if not hasattr(self._clients, "client"):
            self._clients.client = docker.from_env()
        return self._clients.client

    @override
    def _get_client(self, container_context: DockerContainerContext) -> docker.DockerClient:
        # No login here: a registry's login goes along with the pull that needs it.
        return self.client()

    @override
    def dispose(self) -> None:
        self._keeper.stop()
        super().dispose()

    def _sweep(self, instance: dg.DagsterInstance) -> list[str]:
        return sweep(instance, self.client(), self._deployment, self._retention, logger=_LOGGER)

    def _living_instance(self) -> dg.DagsterInstance | None:
        return self._instance_weakref() if self._instance_weakref else None
