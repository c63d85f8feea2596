import os
import sys
import time

import pytest

from bench.process import run_measured, tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def run(code: str, **given):
    options = {"timeout_seconds": 30.0, **given}
    return run_measured([sys.executable, "-c", code], {"GREETING": "hello"}, **options)


def test_output_errors_and_exit_status_are_kept():
    used = run(
        "import os, sys; print(os.environ['GREETING']); print('no', file=sys.stderr); sys.exit(3)"
    )
    assert (used.output, used.errors, used.returncode, used.timed_out) == (
        "hello\n",
        "no\n",
        3,
        False,
    )


def test_processor_time_is_counted_and_sleep_is_not():
    busy = run("import time\nwhile time.process_time() < 0.5: pass")
    idle = run("import time; time.sleep(0.5)")
    assert busy.cpu_seconds >= 0.5
    assert idle.wall_seconds >= 0.5 > idle.cpu_seconds


def test_the_work_and_the_memory_of_children_count():
    child = "import time; b = bytearray(150_000_000); b[::4096] = b'x' * len(b[::4096]); time.sleep(0.3)"
    used = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    assert used.peak_megabytes > 150


def test_memory_of_the_measuring_process_does_not_count():
    ours = bytearray(300_000_000)
    ours[::4096] = b"x" * len(ours[::4096])
    assert run("import time; time.sleep(0.2)").peak_megabytes < 100


def test_a_program_that_takes_too_long_is_killed_with_its_children():
    code = "import os, time\nprint(os.getpid(), flush=True)\nos.fork()\ntime.sleep(60)"
    started = time.monotonic()
    used = run(code, timeout_seconds=0.5)
    assert (used.timed_out, used.returncode) == (True, -9)
    assert time.monotonic() - started < 20
    assert tree(int(used.output)) == [int(used.output)]


def test_a_program_can_be_confined_to_one_processor():
    used = run("import os; print(len(os.sched_getaffinity(0)))", cpus=1)
    assert used.output == "1\n"
    assert len(os.sched_getaffinity(0)) >= 1
