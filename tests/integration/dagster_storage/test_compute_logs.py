"""What steps print: on its way where it always went, and in S3, without a step waiting for S3's client."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import psutil
import pytest

from tranship.errors import ConfigurationError
from tranship.runs.compute_logs import DeferredComputeLogManager

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
REGION = "us-east-1"
JOBS = """
import sys, time
import dagster as dg

@dg.op
def speak(context) -> None:
    print("said aloud, S3's client loaded:", "boto3" in sys.modules, flush=True)
    print("whispered", file=sys.stderr, flush=True)

@dg.job(executor_def=dg.in_process_executor)
def speaking() -> None:
    speak()

@dg.op
def hang(context) -> None:
    print("hanging", flush=True)
    time.sleep(600)

@dg.job(executor_def=dg.in_process_executor)
def hanging() -> None:
    hang()

defs = dg.Definitions(jobs=[speaking, hanging])
"""
Worker = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def s3(s3_endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name=REGION,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"logs-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def worker(tmp_path: Path, s3_endpoint: str, bucket: str) -> Worker:
    """Starts a process that executes one of the jobs, with its logs in the bucket."""
    configuration = {
        "compute_logs": {
            "module": "tranship.runs.compute_logs",
            "class": "DeferredComputeLogManager",
            "config": {
                "local_dir": str(tmp_path / "logs"),
                "upload_interval": 1,
                "manager": {
                    "module": "dagster_aws.s3.compute_log_manager",
                    "class": "S3ComputeLogManager",
                    "config": {"bucket": {"env": "LOG_BUCKET"}, "prefix": "compute-logs"},
                },
            },
        },
        "telemetry": {"enabled": False},
    }
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(json.dumps(configuration))
    (tmp_path / "jobs.py").write_text(JOBS)
    environment = {
        **os.environ, **KEYS, "DAGSTER_RUN_JOB_NAME": "a run's own process", "DAGSTER_HOME": str(home), "LOG_BUCKET": bucket,
        "AWS_ENDPOINT_URL": s3_endpoint, "AWS_DEFAULT_REGION": REGION,
    }  # fmt: skip

    def start(job: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dagster",
                "job",
                "execute",
                "-f",
                "jobs.py",
                "-a",
                "defs",
                "-j",
                job,
            ],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def contents(s3: Any, bucket: str) -> dict[str, str]:
    """What the bucket holds, by the end of its key."""
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        one["Key"].partition(".")[2]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"]
        .read()
        .decode()
        for one in listed
    }


def test_a_step_begins_without_the_client_and_all_it_printed_is_in_the_bucket(
    worker: Worker, s3: Any, bucket: str
):
    process = worker("speaking")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    kept = contents(s3, bucket)
    assert "said aloud, S3's client loaded: False\n" in kept["out"]
    assert "whispered\n" in kept["err"]


def test_what_a_step_prints_is_told_and_uploaded_while_it_runs_and_dies_with_its_process(
    worker: Worker, s3: Any, bucket: str
):
    process = worker("hanging")
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("hanging"))
        assert line == "hanging\n"
        until = time.monotonic() + 60
        while "hanging\n" not in contents(s3, bucket).get("out.partial", ""):
            assert time.monotonic() < until, contents(s3, bucket)
            time.sleep(0.2)
        tails = psutil.Process(process.pid).children(recursive=True)
        assert [one.name() for one in tails] == ["tail", "tail"]
    finally:
        # Waited for first: a process is there until somebody has asked how it ended.
        process.kill()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
    _, alive = psutil.wait_procs(tails, timeout=10)
    assert not alive


def test_addresses_alone_are_refused_with_what_to_configure_instead(tmp_path: Path):
    manager = {
        "module": "dagster_aws.s3.compute_log_manager",
        "class": "S3ComputeLogManager",
        "config": {"bucket": "logs", "show_url_only": True},
    }
    with pytest.raises(ConfigurationError, match=r"S3ComputeLogManager itself in dagster\.yaml"):
        DeferredComputeLogManager(manager, local_dir=str(tmp_path))


def test_what_is_no_run_is_told_of_a_wrong_setting_when_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DAGSTER_RUN_JOB_NAME", raising=False)
    manager = {
        "module": "dagster_aws.s3.compute_log_manager",
        "class": "S3ComputeLogManager",
        "config": {"bucket": {"env": "NO_SUCH_VARIABLE"}},
    }
    with pytest.raises(dg.DagsterInvalidConfigError, match="NO_SUCH_VARIABLE"):
        DeferredComputeLogManager.from_config_value(
            None, {"manager": manager, "local_dir": str(tmp_path)}
        )
