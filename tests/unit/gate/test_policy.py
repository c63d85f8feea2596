"""The gate's settings: whole and narrow, or it does not start."""

import subprocess
import sys
from pathlib import Path

import pytest

from gate.__main__ import main
from gate.policy import Policy, PolicyError

ENVIRONMENT = {
    "GATE_DEPLOYMENT": "tranship",
    "GATE_IMAGES": "tranship/user-code, registry.example:5000/etl",
    "GATE_NETWORKS": "tranship-runs",
    "GATE_VOLUMES": "secrets:ro,spool:rw",
    "GATE_RUN_USER": "10001:10001",
    "GATE_MAX_MEMORY": "4g",
    "GATE_MAX_CPUS": "1.5",
    "GATE_MAX_PIDS": "512",
    "GATE_MAX_CONTAINERS": "16",
    "GATE_MAX_TOTAL_MEMORY": "16g",
}
OPTIONAL = {"GATE_VOLUMES"}


def test_the_policy_is_read_from_the_environment():
    policy = Policy.from_environment(ENVIRONMENT)
    assert policy.images == {"tranship/user-code", "registry.example:5000/etl"}
    assert policy.volumes == {"secrets": False, "spool": True}
    assert (policy.max_memory_bytes, policy.max_nano_cpus) == (4 << 30, 1_500_000_000)
    assert (policy.max_containers, policy.max_total_memory_bytes) == (16, 16 << 30)
    assert "/tmp" in policy.directories
    assert policy.programs == frozenset()
    assert (policy.allow_pull, policy.read_only_root) == (False, True)


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - OPTIONAL))
def test_a_missing_setting_is_named(name: str):
    with pytest.raises(PolicyError, match=f"{name} is not set"):
        Policy.from_environment({**ENVIRONMENT, name: " "})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATE_IMAGES", "*"),
        ("GATE_IMAGES", "tranship/user-code,"),
        ("GATE_NETWORKS", "host"),
        ("GATE_NETWORKS", "tranship-runs,bridge"),
        ("GATE_NETWORKS", "container:postgres"),
        ("GATE_VOLUMES", "secrets"),
        ("GATE_VOLUMES", "/etc:ro"),
        ("GATE_VOLUMES", "..:ro"),
        ("GATE_RUN_USER", "root"),
        ("GATE_RUN_USER", "0:0"),
        ("GATE_RUN_USER", "1000:0"),
        ("GATE_MAX_MEMORY", "-1"),
        ("GATE_MAX_MEMORY", "0"),
        ("GATE_MAX_MEMORY", "unlimited"),
        ("GATE_MAX_CPUS", "0"),
        ("GATE_MAX_CPUS", "inf"),
        ("GATE_MAX_PIDS", "-1"),
        ("GATE_MAX_CONTAINERS", "0"),
        ("GATE_MAX_TOTAL_MEMORY", "all"),
        ("GATE_DIRECTORIES", "/"),
        ("GATE_DIRECTORIES", "/tmp,/proc/self"),
        ("GATE_DIRECTORIES", "/dev"),
        ("GATE_DIRECTORIES", "/tmp/../etc"),
        ("GATE_DIRECTORIES", "tmp"),
        ("GATE_PROGRAMS", "sh -c"),
        ("GATE_ALLOW_PULL", "1"),
        ("GATE_READ_ONLY_ROOT", "no"),
        ("GATE_NAME_PREFIX", "/"),
    ],
)
def test_a_malformed_setting_is_named_and_never_widened(name: str, value: str):
    with pytest.raises(PolicyError, match=name):
        Policy.from_environment({**ENVIRONMENT, name: value})


def test_the_gate_does_not_start_without_its_settings():
    told = subprocess.run(
        [sys.executable, "-m", "gate"],
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "docker/gate")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert "GATE_" in told.stdout
    assert "Traceback" not in told.stdout + told.stderr


def test_the_health_check_fails_while_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GATE_DAEMON_SOCKET", str(tmp_path / "daemon"))
    assert main(["check"]) == 1
