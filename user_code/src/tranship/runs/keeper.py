"""The keeper: a thread beside the launcher that sees a run's container die, and fails the run with the reason.

Dagster's run monitoring looks at a worker only once its run has started; until then it waits for
`start_timeout_seconds` (https://github.com/dagster-io/dagster/issues/8312), and afterwards it looks every
`poll_interval_seconds`. The keeper looks twice a second at containers whose runs are starting, and every
two seconds at the others. It also runs the janitor.

A container whose run was given up is stopped, so that it does not work on beside the run's retries: at once where the
run never started, after a minute where it had, because a worker needs a moment to end.

It keeps nothing on disk: when it begins it takes up the runs that are in progress, and the containers that still
run. If its process dies, run monitoring and its timeouts still hold, and the next keeper goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import dagster as dg
import docker
from docker import errors as docker_errors

from tranship.dagster_private.launching import report_died
from tranship.dagster_private.tags import MAX_RETRIES_TAG
from tranship.runs.containers import ContainerState, find_state
from tranship.runs.lost_retries import LostRetries

_NOT_YET_STARTED = frozenset({dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING})
_STARTING_SECONDS = 0.5
_STARTED_SECONDS = 2.0
_IDLE_SECONDS = 60.0
#: How long the worker of a run that has ended may take to end itself.
_ENDING_SECONDS = 60.0
#: How often it is looked for what has no other sign: containers that nobody watches, and runs whose retry was given
#: up because their code server was away.
_RETRY_SECONDS = 15.0


class Worker(Protocol):
    """What the keeper needs to know of a run's container."""

    def client(self) -> docker.DockerClient:
        """Give the calling thread's client."""
        ...

    def explain(self, state: ContainerState) -> str:
        """Say what became of a container, with its last output."""
        ...

    def stop(self, run: dg.DagsterRun, container_id: str) -> None:
        """Stop a container within the grace that its run has."""
        ...

    def running(self) -> Mapping[str, str]:
        """The containers of this deployment that run now, with the ids of their runs."""
        ...


@dataclass(slots=True)
class _Watched:
    run_id: str
    container_id: str
    started: bool = False
    ended_at: float | None = None
    problem: str = ""


class RunKeeper:
    """Watches run containers and sweeps, in one daemon thread.

    Args:
        instance: Where the runs are recorded; the keeper ends when it is gone.
        worker: The launcher.
        sweep: Removes what is over; called every `sweep_seconds`.
        sweep_seconds: 0 never sweeps.
        logger: Where the keeper tells what it did and what failed.
    """

    def __init__(
        self,
        instance: Callable[[], dg.DagsterInstance | None],
        worker: Worker,
        sweep: Callable[[dg.DagsterInstance], object],
        *,
        sweep_seconds: float,
        logger: logging.Logger | None = None,
    ):
        self._instance = instance
        self._worker = worker
        self._sweep = sweep
        self._sweep_seconds = sweep_seconds
        self._logger = logger or logging.getLogger(__name__)
        self._retries = LostRetries(self._logger)
        self._watched: dict[str, _Watched] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread unless it runs already."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._stopping = False
                self._thread = threading.Thread(
                    target=self._work, name="tranship-run-keeper", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(10)

    def watch(self, run_id: str, container_id: str) -> None:
        """Look at a run's container from now on, until it has ended."""
        with self._changed:
            self._watched[container_id] = _Watched(run_id, container_id)
            self._changed.notify_all()

    def _work(self) -> None:
        taken_up = False
        next_sweep = time.monotonic() + min(self._sweep_seconds, _IDLE_SECONDS)
        next_retry = time.monotonic() + _RETRY_SECONDS
        while not self._stopping:
            instance = self._instance()
            if instance is None:
                return
            try:
                if not taken_up:
                    self._take_up(instance)
                    taken_up = True
                self._look(instance)
                if time.monotonic() >= next_retry:
                    next_retry = time.monotonic() + _RETRY_SECONDS
                    self._take_up_running()
                    self._retries.take_up(instance)
                if self._sweep_seconds and time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self._sweep_seconds
                    self._sweep(instance)
            except Exception:
                # The engine or the storage is away for a while: told here, and tried again next time.
                self._logger.exception("The run keeper could not look at its containers.")
            # Dagster knows that an instance is done with by nobody holding it.
            del instance
            with self._changed:
                if not self._stopping:
                    self._changed.wait(self._pause(next_sweep))

    def _pause(self, next_sweep: float) -> float:
        if any(not watched.started and not watched.problem for watched in self._watched.values()):
            return _STARTING_SECONDS
        if self._watched:
            return _STARTED_SECONDS
        until_sweep = next_sweep - time.monotonic() if self._sweep_seconds else _IDLE_SECONDS
        return max(_STARTING_SECONDS, min(until_sweep, _IDLE_SECONDS))

    def _take_up(self, instance: dg.DagsterInstance) -> None:
        """Watch what an earlier process launched."""
        from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

        statuses = [*_NOT_YET_STARTED, dg.DagsterRunStatus.STARTED]
        for run in instance.get_runs(dg.RunsFilter(statuses=statuses)):
            container_id = run.tags.get(DOCKER_CONTAINER_ID_TAG)
            if container_id and container_id not in self._watched:
                self.watch(run.run_id, container_id)

    def _take_up_running(self) -> None:
        """Watch what runs: also containers whose runs were given up while nobody looked."""
        for container_id, run_id in self._worker.running().items():
            if container_id not in self._watched:
                self.watch(run_id, container_id)

    def _look(self, instance: dg.DagsterInstance) -> None:
        for watched in list(self._watched.values()):
            try:
                self._look_at(instance, watched)
            except docker_errors.APIError as error:
                # One that the engine or the gate refuses to show must not hide those behind it.
                problem = str(error.explanation or error)
                if problem != watched.problem:
                    self._logger.error(
                        "The container %s of run %s cannot be looked at: %s",
                        watched.container_id[:12],
                        watched.run_id,
                        problem,
                    )
                watched.problem = problem
            else:
                watched.problem = ""

    def _look_at(self, instance: dg.DagsterInstance, watched: _Watched) -> None:
        state = find_state(self._worker.client(), watched.container_id)
        # Read after the container: once it has ended, its run's status is what it will stay.
        run = instance.get_run_by_id(watched.run_id)
        if run is not None and run.status in _NOT_YET_STARTED:
            if state is None or state.ended:
                what = "The run's container ended before the run had started."
                self._fail(instance, run, state, what)
                self._forget(watched)
            return
        if run is None:
            self._forget(watched)
        elif state is None or state.ended:
            self._ended(instance, watched, run, state)
        elif run.is_finished:
            self._given_up(instance, watched, run, state)
        else:
            watched.started = True

    def _ended(
        self,
        instance: dg.DagsterInstance,
        watched: _Watched,
        run: dg.DagsterRun,
        state: ContainerState | None,
    ) -> None:
        if run.status == dg.DagsterRunStatus.STARTED:
            self._crashed(instance, run, state)
        elif state and state.out_of_memory and run.status == dg.DagsterRunStatus.FAILURE:
            # A step's own process was killed; its run told of that, and could not know why.
            instance.report_engine_event(state.in_words(), run)
        if run.status != dg.DagsterRunStatus.CANCELING:
            self._forget(watched)

    def _given_up(
        self,
        instance: dg.DagsterInstance,
        watched: _Watched,
        run: dg.DagsterRun,
        state: ContainerState,
    ) -> None:
        """Stop a container that works on although its run has ended.

        Dagster's run monitoring fails a run that takes too long to start, and leaves its container alone
        (https://github.com/dagster-io/dagster/issues/15325).
        """
        if watched.ended_at is None:
            watched.ended_at = time.monotonic()
            record = instance.get_run_record_by_id(run.run_id)
            watched.started = record is not None and record.start_time is not None
        if watched.started and time.monotonic() - watched.ended_at < _ENDING_SECONDS:
            return
        why = "had ended a minute before" if watched.started else "was given up before it started"
        message = f"Container {state.name} is stopped: its run {why}, and it still runs."
        self._logger.warning("Run %s: %s", run.run_id, message)
        instance.report_engine_event(message, run)
        self._worker.stop(run, watched.container_id)
        self._forget(watched)

    def _crashed(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, state: ContainerState | None
    ) -> None:
        if instance.run_monitoring_enabled and instance.run_monitoring_max_resume_run_attempts > 0:
            # Run monitoring will give the run another container.
            return
        self._fail(instance, run, state, "The run's container ended before the run had finished.")

    def _fail(
        self,
        instance: dg.DagsterInstance,
        run: dg.DagsterRun,
        state: ContainerState | None,
        what: str,
    ) -> None:
        ending = (
            self._worker.explain(state) if state else "Its container is gone: somebody removed it."
        )
        retried = forbid_pointless_retry(instance, run, state)
        message = " ".join(filter(None, [what, retried, ending]))
        self._logger.info("Run %s: %s", run.run_id, message)
        report_died(instance, run, message)

    def _forget(self, watched: _Watched) -> None:
        with self._changed:
            self._watched.pop(watched.container_id, None)


def forbid_pointless_retry(
    instance: dg.DagsterInstance, run: dg.DagsterRun, state: ContainerState | None
) -> str:
    """Keep Dagster from retrying a run that ran out of memory: with the same limit it would again.

    Args:
        instance: Where the run is recorded.
        run: A run that is about to be marked as failed.
        state: What is known of its container.

    Returns:
        What to tell about it; empty where nothing was forbidden.
    """
    if state is None or not state.out_of_memory or not state.memory_bytes:
        return ""
    instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: "0"})
    return "It is not retried: with the same memory limit it would end the same way."
