"""Jobs that behave as badly as users' jobs do. In the test's image only."""

import os
import signal
import sys
import time

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
def eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (16 << 20))


@dg.job(config=IN_PROCESS)
def speaking_job() -> None:
    speak()


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
