"""`make demo`, as a newcomer meets it: run, run again, killed half-way, and interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from standins.embedded import EmbeddedPostgres
from standins.embedded.liveness import ends_within

SECONDS = 150


def demo(directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "demo",
        "run",
        "--directory",
        str(directory),
        "--scale",
        "0.1",
        *options,
    ]
    # Behind a company's proxy, which knows nothing of our 127.0.0.1.
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        environment[name] = "http://127.0.0.1:9"
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def descendants(pid: int) -> set[int]:
    """Every process below one, as Linux knows them."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = {int(child) for child in task.read_text().split()}
            waiting += children - found
            found |= children
    return found


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read the output up to a text."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} never came:\n{''.join(seen)}")


@pytest.mark.timeout(2 * SECONDS)
def test_the_demo_moves_every_table_and_a_second_time_too(tmp_path: Path):
    reports = []
    for _ in range(2):
        process = demo(tmp_path)
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output
        assert "run_etl_job succeeded" in output
        assert "staging_job succeeded" in output
        first, second = output.split("In the source, 20 order lines are corrected and 30 are added")
        reports.append(
            re.findall(r"((?:public\.stg_|staging\.)\w+)\s+[\d,a-z]+\s+([\d,]+) ", first)
        )
        # Only the table that changed is loaded, and of it what is new or differs.
        (changed,) = re.findall(r"staging\.(\w+) +([\d,]+) +(\d+) +(\d+) +([\d,]+)", second)
        assert (changed[0], *changed[2:4]) == ("FactInternetSales", "20", "30")
        assert "5 of 5" in second
        assert "staging_tables_changes_job succeeded" in second
        assert "sales_job succeeded" in second
    # The fact is merged from its bookmark on; all other tables are read again as a whole.
    whole = [[one for one in report if one[0] != "staging.FactInternetSales"] for report in reports]
    assert whole[0] == whole[1]
    assert ("public.stg_DimProduct", "606") in reports[0]
    assert len(reports[0]) == 15


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.timeout(SECONDS)
def test_a_demo_that_is_stopped_half_way_leaves_no_process_and_no_half_table(tmp_path: Path, end):
    process = demo(tmp_path, "--scale", "1")
    wait_for(process, "Code location loaded")
    time.sleep(1.5)  # somewhere in the middle of the job
    left_behind = descendants(process.pid)
    assert left_behind
    process.send_signal(end)
    process.wait(90)
    for pid in left_behind:
        assert ends_within(pid, 20), f"process {pid} is still there"

    whole = {"stg_DimCustomer": 18_484, "stg_FactInternetSales": 60_398, "stg_DimProduct": 606}
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        connection = psycopg2.connect(server.url("warehouse").replace("+psycopg2", ""))
        with connection.cursor() as cursor:
            cursor.execute(
                "select relname::text from pg_class where relname = any(%s)", (list(whole),)
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f'select count(*) from public."{table}"')
                assert cursor.fetchone() == (whole[table],)
        connection.close()


def test_a_directory_in_use_is_named(tmp_path: Path):
    with EmbeddedPostgres(tmp_path / "postgres", durable=False):
        process = demo(tmp_path)
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert re.sub(r"\s+", " ", output).count(f"is in use by process {os.getpid()}") == 1
    assert "Traceback" not in output
