"""The job that `run_launch.py` launches; it becomes a part of the code location `etl` in both images."""

from pathlib import Path

import dagster as dg

_USAGE_FILES = {
    # cgroup version 1 in nanoseconds, version 2 in microseconds.
    Path("/sys/fs/cgroup/cpuacct/cpuacct.usage"): 1e9,
    Path("/sys/fs/cgroup/cpu.stat"): 1e6,
}


@dg.op
def probe(context: dg.OpExecutionContext) -> None:
    """Tell how much CPU time the container had used when the first step began."""
    for file, units in _USAGE_FILES.items():
        if file.exists():
            number = file.read_text().split()[-1 if file.name == "cpuacct.usage" else 1]
            context.log.info(f"cpu seconds {int(number) / units:.3f}")
            return


@dg.job
def stock_probe_job() -> None:
    """One op with Dagster's default executor: a process for each step."""
    probe()


@dg.job(config={"execution": {"config": {"in_process": {}}}})
def probe_job() -> None:
    """One op as the jobs of this project run: in the run's own process."""
    probe()
