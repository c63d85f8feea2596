"""Jobs that behave as badly as users' jobs do. In the test's image only."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import dagster as dg

IN_PROCESS = {"execution": {"config": {"in_process": {}}}}
VERSION = os.environ["PROBE_VERSION"]


@dg.op
def speak() -> None:
    sys.stdout.write(f"a word on standard output from {VERSION}\n")


@dg.op
def hang() -> None:
    sys.stdout.write("hanging\n")
    sys.stdout.flush()
    time.sleep(600)


@dg.op
def linger() -> None:
    time.sleep(25)


@dg.op
def crash_once(context: dg.OpExecutionContext) -> None:
    """Vanish like a worker whose host dies, on the first attempt."""
    if "dagster/retry_number" not in context.run.tags:
        # Its log is in the bucket before it vanishes: dagster.yaml uploads every five seconds.
        sys.stdout.write("about to vanish\n")
        sys.stdout.flush()
        time.sleep(8)
        # A container's first process cannot kill itself; leaving at once tells nobody either.
        os._exit(signal.SIGKILL + 128)


@dg.op
def reach_out() -> None:
    """Tell what a run's code finds of the engine, the gate and the control plane."""
    sockets = [
        str(path) for folder in ("/run", "/var/run") for path in Path(folder).rglob("*.sock")
    ]
    reached: list[str] = []
    for host, port in (("gate", 2375), ("webserver", 3000), ("daemon", 3000), ("postgres", 5432)):
        try:
            socket.create_connection((host, port), 3).close()
        except OSError:
            continue
        reached.append(host)
    found = {"sockets": sockets, "reached": reached, "DOCKER_HOST": os.environ.get("DOCKER_HOST")}
    sys.stdout.write(f"found {json.dumps(found)}\n")


@dg.op
def eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (16 << 20))


@dg.job(config=IN_PROCESS)
def speaking_job() -> None:
    speak()


@dg.job(config=IN_PROCESS)
def curious_job() -> None:
    reach_out()


@dg.job(config=IN_PROCESS)
def hanging_job() -> None:
    hang()


@dg.job(config=IN_PROCESS)
def lingering_job() -> None:
    linger()


@dg.job(config=IN_PROCESS)
def crashing_job() -> None:
    crash_once()


@dg.job(config=IN_PROCESS, tags={"tranship/memory": "384m"})
def greedy_job() -> None:
    eat_memory()


every_minute = dg.ScheduleDefinition(
    name="every_minute", job=speaking_job, cron_schedule="* * * * *"
)
