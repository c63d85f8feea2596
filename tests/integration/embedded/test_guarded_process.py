"""A guarded process ends with its owner, whatever happens to the owner."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from standins.embedded import EmbeddedError, GuardedProcess
from standins.embedded.liveness import ends_within, is_running

SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
DEAF_SLEEPER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER

OWNER = """
import os, sys, time
from pathlib import Path
from standins.embedded import GuardedProcess

command = [sys.executable, "-c", "import time; time.sleep(600)"]
process = GuardedProcess("sleeper", command, log=Path(sys.argv[1]) / "log").start()
forked = os.fork() if "fork" in sys.argv else 1
if not forked:
    time.sleep(600)  # holds the pipe to the guard open
guard = process._guard.pid
print(process.pid, guard, forked, flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path: Path):
    started: list[GuardedProcess] = []

    def start(program: str, **options: object) -> GuardedProcess:
        command = [sys.executable, "-c", program]
        process = GuardedProcess("The sleeper", command, log=tmp_path / "log", **options)  # pyright: ignore[reportArgumentType]
        started.append(process.start())
        return process

    yield start
    for process in started:
        process.stop()


def test_stopping_ends_the_program_and_can_be_repeated(start: Callable[..., GuardedProcess]):
    process = start(SLEEPER)
    assert is_running(process.pid)
    process.stop()
    assert not is_running(process.pid)
    process.stop()


def test_a_program_that_ignores_the_request_is_killed(
    start: Callable[..., GuardedProcess], tmp_path: Path
):
    process = start(DEAF_SLEEPER, stop_seconds=0.2)
    process.wait_until(lambda: "here" in (tmp_path / "log").read_text(), 10)
    process.stop()
    assert process.exit_code() == 128 + signal.SIGKILL


def test_a_killed_owner_leaves_no_process(
    tmp_path: Path, start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]]
):
    owner, (program, guard, _) = start_owner(OWNER, str(tmp_path))
    owner.kill()
    assert ends_within(program, 5)
    assert ends_within(guard, 5)


def test_a_killed_owner_with_a_forked_child_leaves_no_process(
    tmp_path: Path, start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]]
):
    owner, (program, guard, forked) = start_owner(OWNER, str(tmp_path), "fork")
    owner.kill()
    try:
        assert ends_within(program, 5)
        assert ends_within(guard, 5)
    finally:
        os.kill(forked, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties the program to its guard")
def test_a_killed_guard_leaves_no_process(
    tmp_path: Path, start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]]
):
    _, (program, guard, _) = start_owner(OWNER, str(tmp_path))
    os.kill(guard, signal.SIGKILL)
    assert ends_within(program, 5)


def test_an_early_end_is_an_error_with_the_log(start: Callable[..., GuardedProcess]):
    process = start("import sys; sys.exit('no licence found')")
    with pytest.raises(
        EmbeddedError, match=r"(?s)The sleeper ended with exit code 1 while.*no licence"
    ):
        process.wait_until(lambda: False, 10)


def test_a_program_that_never_gets_ready_is_an_error(start: Callable[..., GuardedProcess]):
    process = start(SLEEPER)
    with pytest.raises(EmbeddedError, match=r"The sleeper was not ready after 0\.3 s"):
        process.wait_until(lambda: False, 0.3)


def test_a_missing_program_is_an_error_that_names_it(tmp_path: Path):
    process = GuardedProcess("The gateway", ["/no/such/program"], log=tmp_path / "log").start()
    with pytest.raises(EmbeddedError, match=r"(?s)exit code 127.*/no/such/program"):
        process.wait(10)


def test_secrets_reach_the_program_by_its_environment(tmp_path: Path):
    program = "import os, sys; print(os.environ['SECRET'], sys.stdin.read())"
    process = GuardedProcess(
        "echo",
        [sys.executable, "-c", program],
        log=tmp_path / "log",
        environment={"SECRET": "from-environment"},
        input_text="from-input",
    )
    process.start().wait(10)
    assert (tmp_path / "log").read_text().split() == ["from-environment", "from-input"]
