"""What a run costs before its first step: this stack against Dagster's Docker example, stock.

Both deployments run side by side on this machine's engine, with the same code location, package versions and base
images; runs of a job with one op that does nothing are launched in turns, one at a time, through GraphQL. Then each
gets a number of runs at once. Needs a Docker engine (`docker/airgap/engine.sh`) and takes some ten minutes.

    .venv/bin/python bench/run_launch.py --rounds 10 --at-once 50 --json run_launch.json
"""

import argparse
import json
import os
import platform
import re
import socket
import statistics
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

from compose_stack import ComposeStack  # noqa: E402
from graphql_client import GraphQLClient, GraphQLError  # noqa: E402

from run_launch_stock import StockDeployment  # noqa: E402

IMAGE = "tranship/bench"
UP_SECONDS = 300
RUN_SECONDS = 600
MEASURES = {
    "queued_to_first_step": "queued to first step, s",
    "queued_to_launched": "of it: until the container is made, s",
    "container_start": "of it: container made to started, s",
    "started_to_first_step": "of it: container started to first step, s",
    "queued_to_end": "queued to end: what a run costs, s",
    "cpu_until_first_step": "CPU time until the first step, s",
}


@dataclass(frozen=True)
class Way:
    """A deployment under measurement."""

    name: str
    dagster: GraphQLClient
    job: str


# ---- the deployments ----


@contextmanager
def ours(directory: Path) -> Iterator[Way]:
    """The stack, with the stand-in for SQL Server; the user code's image has the probe's job in it."""
    stack = ComposeStack(directory)
    try:
        stack.compose("build", "--quiet", seconds=900)
        dockerfile = directory / "Dockerfile"
        dockerfile.write_text(
            "FROM tranship/user-code:dev\nCOPY run_launch_probe.py /app/src/etl/defs/probe.py\n"
            "USER 0\nRUN python -m compileall -q --invalidation-mode unchecked-hash /app/src\nUSER 10001:10001\n"
        )
        stack.build_image(f"{IMAGE}:dev", ROOT / "bench", "--file", str(dockerfile))
        stack.environment["TRANSHIP_USER_CODE_IMAGE"] = IMAGE
        stack.up()
        yield Way("tranship", GraphQLClient(stack.graphql), "probe_job")
    finally:
        stack.down("--volumes")


@contextmanager
def stock(directory: Path, authorities: Path) -> Iterator[Way]:
    """Dagster's Docker example."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    deployment = StockDeployment(directory, port, authorities)
    engine = docker.from_env()
    try:
        deployment.up()
        dagster = GraphQLClient(deployment.address)
        _until_loaded(dagster)
        yield Way("stock", dagster, "stock_probe_job")
    finally:
        # Compose does not know the run containers.
        for container in engine.containers.list(all=True, filters={"network": deployment.network}):
            if "dagster/run_id" in container.labels:
                container.remove(force=True, v=True)
        deployment.down()


def _until_loaded(dagster: GraphQLClient) -> None:
    until = time.monotonic() + UP_SECONDS
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    while time.monotonic() < until:
        try:
            if dagster.ask(query)["repositoriesOrError"].get("nodes"):
                return
        except (GraphQLError, urllib.error.URLError, ConnectionError):
            # Its services start in any order, and again until they find one another.
            time.sleep(1)
        time.sleep(1)
    raise SystemExit(f"the stock deployment was not ready within {UP_SECONDS} s")


# ---- one run ----


def measure(way: Way, run_id: str, engine: docker.DockerClient) -> dict[str, float]:
    """Give the times of a run that has ended, in seconds.

    Raises:
        SystemExit: The run has failed.
    """
    if way.dagster.until(run_id, seconds=RUN_SECONDS) != "SUCCESS":
        raise SystemExit(f"{way.name}: a run failed\n{way.dagster.messages(run_id)}")
    events = way.dagster.events(run_id)
    at: dict[str, float] = {}
    for event in events:
        if event.get("eventType"):
            at.setdefault(event["eventType"], float(event["timestamp"]) / 1000)
    (container,) = engine.containers.list(all=True, filters={"label": f"dagster/run_id={run_id}"})
    created, started = (
        _seconds(text)
        for text in (container.attrs["Created"], container.attrs["State"]["StartedAt"])
    )
    container.remove(force=True, v=True)
    queued, first_step = at["RUN_ENQUEUED"], at["STEP_START"]
    (cpu,) = re.findall(r"cpu seconds ([\d.]+)", way.dagster.messages(run_id))
    return {
        "queued_to_first_step": first_step - queued,
        "queued_to_launched": created - queued,
        "container_start": started - created,
        "started_to_first_step": first_step - started,
        "queued_to_end": at["RUN_SUCCESS"] - queued,
        "cpu_until_first_step": float(cpu),
    }


def at_once(way: Way, count: int) -> dict[str, float]:
    """Launch runs without waiting for one another; gives seconds from the first launch to the last end."""
    began = time.time()
    run_ids = [way.dagster.launch(way.job) for _ in range(count)]
    ends: list[float] = []
    for run_id in run_ids:
        if way.dagster.until(run_id, seconds=RUN_SECONDS) != "SUCCESS":
            raise SystemExit(f"{way.name}: a run failed\n{way.dagster.messages(run_id)}")
        ends.append(way.dagster.run(run_id)["endTime"])
    seconds = max(ends) - began
    return {"runs": count, "seconds": seconds, "runs_per_minute": 60 * count / seconds}


def _seconds(text: str) -> float:
    # The engine tells nanoseconds, which is more than Python reads.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", text)).timestamp()


# ---- the report ----


def summary(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each measure."""
    told: dict[str, dict[str, float]] = {}
    for name in MEASURES:
        values = sorted(one[name] for one in rounds)
        told[name] = {"median": statistics.median(values), "least": values[0], "most": values[-1]}
    return told


def grid(report: dict[str, Any]) -> dict[str, Any]:
    """The report as a table: its title, columns and rows."""
    ways = list(report["ways"])
    rows: list[list[str]] = []
    for name, words in MEASURES.items():
        found = [report["ways"][way]["one_at_a_time"][name] for way in ways]
        cells = [f"{f['median']:.2f} ({f['least']:.2f} to {f['most']:.2f})" for f in found]
        rows.append([words, *cells, f"{found[1]['median'] / found[0]['median']:.2f}"])
    found = [report["ways"][way].get("at_once") for way in ways]
    if all(found):
        for key, words, figures in (("seconds", "s", 0), ("runs_per_minute", "a minute", 1)):
            cells = [f"{f[key]:.{figures}f}" for f in found]
            label = f"{found[0]['runs']} runs at once, {words}"
            rows.append([label, *cells, f"{found[1][key] / found[0][key]:.2f}"])
    title = f"{report['rounds']} runs of each in turns, median (least to most)"
    return {"title": title, "columns": [*ways, "ratio"], "rows": rows}


def markdown(table: dict[str, Any]) -> str:
    """A table as text."""
    lines = [f"| {' | '.join([table['title'], *table['columns']])} |"]
    lines.append(f"|---|{'---:|' * len(table['columns'])}")
    lines += [f"| {' | '.join(row)} |" for row in table["rows"]]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each, in turns")
    parser.add_argument("--at-once", type=int, default=50, help="runs launched together; 0: none")
    parser.add_argument("--json", type=Path, help="where every figure is written")
    chosen = parser.parse_args()
    engine = docker.from_env()
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = {name: scratch / name for name in ("stock", "tranship")}
        for folder in folders.values():
            folder.mkdir()
        starts: list[Callable[[], Any]] = [
            lambda: stock(
                folders["stock"], authorities if authorities.exists() else Path(os.devnull)
            ),
            lambda: ours(folders["tranship"]),
        ]
        ways = [stack.enter_context(start()) for start in starts]
        for way in ways:  # what is slow once only: first reads from the disk, first connections
            measure(way, way.dagster.launch(way.job), engine)
        rounds: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
        for number in range(chosen.rounds):
            # In turns, and each as often first: what else the machine does meets both alike.
            for way in ways if number % 2 else reversed(ways):
                rounds[way.name].append(measure(way, way.dagster.launch(way.job), engine))
        report: dict[str, Any] = {
            "rounds": chosen.rounds,
            "machine": {"cores": os.cpu_count(), "system": platform.platform()},
            "load_average": os.getloadavg(),
            "ways": {way.name: {"one_at_a_time": summary(rounds[way.name])} for way in ways},
        }
        if chosen.at_once:
            for way in ways:
                report["ways"][way.name]["at_once"] = at_once(way, chosen.at_once)
    table = grid(report)
    sys.stdout.write(f"{markdown(table)}\n\nload average {report['load_average']}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps({**report, "runs": rounds, "grid": table}, indent=1))


if __name__ == "__main__":
    main()
