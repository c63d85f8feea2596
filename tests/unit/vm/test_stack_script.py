"""./stack against a Docker that is none: what it checks, what it writes, what it would do."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from compose_stack import PORTS, free_ports

CHECKOUT = Path(__file__).parents[3]
DOCKER = r"""#!/usr/bin/env bash
echo "$*" >>"$FAKE/calls"
if [ -n "${FAKE_KILL_AT:-}" ] && [ "$(wc -l <"$FAKE/calls")" -ge "$FAKE_KILL_AT" ]; then kill -9 "$(cat "$FAKE/pid")"; exit 1; fi
case "$*" in
  version\ --format*) echo "${FAKE_ENGINE:-27.1.0}" ;;
  "compose version --short") echo "${FAKE_COMPOSE:-2.29.1}" ;;
  *MemTotal*) echo "${FAKE_MEMORY:-34359738368}" ;;
  *DockerRootDir*) echo / ;;
  run\ --rm\ -i*) echo "${FAKE_INDEX:-ok}" ;;
  *ExitCode*) echo 0 ;;
  *own_pipelines*) if [ -n "${FAKE_BROKEN:-}" ]; then echo "$FAKE_BROKEN" >&2; exit 1; fi ;;
  image\ inspect\ --format*) echo sha256:before ;;
  *--entrypoint*cat*) cat "$FAKE/volumes" ;;
  *"ps --all --format"*) echo "webserver|running|${FAKE_HEALTH:-healthy}" ;;
  *"ps --all --services") echo webserver ;;
  *"config --services") echo webserver ;;
  *"logs"*) cat "$FAKE/log" ;;
  *config) cat "$FAKE/log" ;;
esac
"""


@dataclass
class Machine:
    """A copy of what ./stack is made of, and programs in the place of those that it would call."""

    root: Path
    fake: Path

    def stack(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.fake}:{os.environ['PATH']}", "FAKE": str(self.fake), "HOME": str(self.root),
            "STACK_UNIT": str(self.root / "none" / "tranship.service"), **variables,
        }  # fmt: skip
        return subprocess.run(
            # Its own process is the one that is killed.
            ["bash", "-c", 'echo $$ >"$FAKE/pid"; exec ./stack "$@"', "-", *words],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def settings(self) -> str:
        return (self.root / "stack.env").read_text()

    @property
    def calls(self) -> list[str]:
        return (self.fake / "calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "tranship", tmp_path / "programs")
    made.root.mkdir()
    made.fake.mkdir()
    for name in ("stack", "docker-compose.yml", "docker-compose.standin.yml"):
        shutil.copy(CHECKOUT / name, made.root / name)
    shutil.copytree(CHECKOUT / "deploy/vm", made.root / "deploy/vm")
    (made.root / "docker/airgap").mkdir(parents=True)
    (made.root / "secrets").mkdir()
    disk = "#!/bin/sh\necho head\necho /dev/vda 100000 1 90000 1% /\n"
    programs = {made.fake / "docker": DOCKER, made.fake / "df": disk}
    programs |= {
        made.root / f"docker/airgap/{name}.sh": "#!/bin/sh\n" for name in ("engine", "images")
    }
    for file, text in programs.items():
        file.write_text(text)
        file.chmod(0o755)
    (made.fake / "log").write_text("a line\n")
    (made.fake / "volumes").write_text("")
    ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
    (made.root / "stack.env").write_text("".join(f"{name}={port}\n" for name, port in ports))
    return made


def test_install_starts_the_stack_and_ends_with_its_address(machine: Machine):
    done = machine.stack("install", "--yes", "--standin")
    assert done.returncode == 0, done.stderr
    port = next(line for line in machine.settings.splitlines() if "WEBSERVER" in line).partition(
        "="
    )[2]
    assert done.stderr.splitlines()[-1] == f"Tranship: http://127.0.0.1:{port}/"
    ups = [call for call in machine.calls if " up " in call]
    assert all("-f docker-compose.standin.yml" in call for call in ups)
    assert "--wait" in ups[-1]


def test_install_again_changes_nothing_that_is_set(machine: Machine):
    words = (
        "install",
        "--no-start",
        "--set",
        "ETL_SCHEDULE=0 6 * * *",
        "--external",
        "redshift=none",
    )
    assert machine.stack(*words).returncode == 0
    first = machine.settings
    assert "ETL_SCHEDULE='0 6 * * *'\nTRANSHIP_REDSHIFT_HOST=none\n" in first
    assert machine.stack(*words).returncode == 0
    assert machine.stack("install", "--no-start").returncode == 0
    assert machine.settings == first


def test_the_users_own_lines_stay(machine: Machine):
    (machine.root / "stack.env").write_text(
        f"# mine\n{machine.settings}ETL_TIMEZONE=Europe/Berlin\n"
    )
    machine.stack("install", "--no-start", "--set", "ETL_TIMEZONE=UTC")
    assert machine.settings.startswith("# mine\n")
    assert machine.settings.endswith("ETL_TIMEZONE=UTC\n")
    assert machine.settings.count("ETL_TIMEZONE") == 1


def test_a_bucket_of_amazons_is_an_empty_endpoint(machine: Machine):
    machine.stack("install", "--no-start", "--external", "s3=aws", "--external", "redshift=none")
    assert "\nAWS_ENDPOINT_URL=\n" in machine.settings


@pytest.mark.parametrize("stop", range(1, 16))
def test_killed_anywhere_and_run_again_it_ends_well(machine: Machine, stop: int):
    words = ("install", "--yes", "--external", "redshift=none", "--set", "ETL_TIMEZONE=UTC")
    first = machine.stack(*words, FAKE_KILL_AT=str(stop))
    assert first.returncode != 0 or len(machine.calls) < stop
    again = machine.stack(*words)
    assert again.returncode == 0, again.stderr
    assert machine.settings.count("TRANSHIP_REDSHIFT_HOST=none\n") == 1
    assert machine.settings.count("ETL_TIMEZONE=UTC\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("install", "--set", "TRANSHIP_POSTGRES_PASSWORD=x"), "write it to secrets/TRANSHIP_POSTGRES_PASSWORD"),
        (("install", "--set", "nothing"), "--set takes NAME=VALUE"),
        (("install", "--external", "mysql=db"), "not mysql"),
        (("install", "--tls", "none"), "acme, files or internal"),
        (("install", "--domain"), "--domain needs a value"),
        (("install", "--quick"), "has no --quick"),
        (("uninstall", "--all"), "has no --all"),
        (("user", "list"), "no login without a front door"),
        (("start",), "There is no ./stack start."),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_and_nothing_is_done(
    machine: Machine, words: tuple[str, ...], told: str
):
    before = machine.settings
    done = machine.stack(*words)
    assert done.returncode == 1
    assert told in done.stderr
    assert machine.settings == before
    assert not (machine.fake / "calls").exists()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"FAKE_ENGINE": "19.03.8"}, "Docker engine 19.03.8 is older than 20.10."),
        ({"FAKE_COMPOSE": "v2.5.0"}, "compose v2.5.0 is older than 2.20."),
        ({"FAKE_MEMORY": "2147483648"}, "The engine has 2048 MB of memory"),
        (
            {"FAKE_INDEX": "authority Example Proxy CA"},
            "a certificate of Example Proxy CA: a proxy",
        ),
    ],
)
def test_what_keeps_the_stack_from_running_is_told_before_anything_is_built(
    machine: Machine, variables: dict[str, str], told: str
):
    done = machine.stack("install", "--yes", **variables)
    assert done.returncode == 1
    assert told in done.stderr
    assert "1 of these keep the stack from running." in done.stderr
    assert not [call for call in machine.calls if " build" in call or " up " in call]


def test_a_newer_version_with_letters_is_new_enough(machine: Machine):
    done = machine.stack(
        "install", "--no-start", FAKE_ENGINE="20.10.24+dfsg1", FAKE_COMPOSE="2.26.1-4"
    )
    assert done.returncode == 0, done.stderr


def test_a_password_that_is_missing_is_told_with_its_file(machine: Machine):
    words = ("install", "--no-start", "--external", "sqlserver=127.0.0.1")
    done = machine.stack(*words)
    assert done.returncode == 1
    assert "secrets/TRANSHIP_SQLSERVER_PASSWORD is not there" in done.stderr
    (machine.root / "secrets/TRANSHIP_SQLSERVER_PASSWORD").write_text("x")
    assert machine.stack(*words).returncode == 0


def test_a_secret_that_the_containers_user_cannot_read_is_told(machine: Machine):
    file = machine.root / "secrets/CRM_TOKEN"
    file.write_text("x")
    file.chmod(0o600)
    assert "CRM_TOKEN cannot be read by the stack" in machine.stack("doctor").stderr


def test_status_says_what_is_not_well_and_ends_with_1(machine: Machine):
    done = machine.stack("status")
    assert (done.returncode, done.stdout.splitlines()[0].split()) == (0, ["webserver", "well"])
    done = machine.stack("status", FAKE_HEALTH="unhealthy")
    assert (done.returncode, "running, unhealthy" in done.stdout) == (1, True)


def test_the_users_pipelines_are_built_into_the_image_of_the_code_server_and_of_runs(
    machine: Machine,
):
    folder = machine.root / "mine"
    folder.mkdir()
    done = machine.stack("install", "--yes", "--set", f"TRANSHIP_DEFS={folder}")
    assert done.returncode == 0, done.stderr
    (build,) = [call for call in machine.calls if call.startswith("build ")]
    assert build.endswith(
        f"--tag tranship/own-code:dev --build-arg BASE=tranship/user-code:dev {folder}"
    )


def test_pipelines_that_cannot_be_loaded_are_told_and_what_runs_goes_on(machine: Machine):
    folder = machine.root / "mine"
    folder.mkdir()
    words = ("install", "--yes", "--set", f"TRANSHIP_DEFS={folder}")
    done = machine.stack(
        *words, FAKE_BROKEN="Your pipelines cannot be loaded: mine.py, line 3: no."
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Your pipelines cannot be loaded: mine.py, line 3: no."
    assert "tag sha256:before tranship/own-code:dev" in machine.calls
    assert not [call for call in machine.calls if "up --detach" in call]


def test_a_folder_of_pipelines_that_is_none_is_told(machine: Machine):
    done = machine.stack("up", TRANSHIP_DEFS="/nowhere")
    assert (done.returncode, "is no folder" in done.stderr) == (1, True)


def test_uninstall_asks_and_keeps_the_data_unless_told(machine: Machine):
    assert machine.stack("uninstall").returncode == 1
    assert not (machine.fake / "calls").exists()
    assert machine.stack("uninstall", "--yes").returncode == 0
    (down,) = [call for call in machine.calls if " down " in call]
    assert "--profile bundled down --remove-orphans" in down
    assert "--volumes" not in down
    assert machine.stack("uninstall", "--yes", "--data").returncode == 0
    assert machine.calls[-1].endswith("down --remove-orphans --volumes")
    assert (machine.root / "stack.env").exists()


def test_a_support_bundle_holds_no_secret(machine: Machine, tmp_path: Path):
    given, made = r"a[.*]b$&\'%s", "made-Zx9_-aA1"
    (machine.root / "secrets/TRANSHIP_POSTGRES_PASSWORD").write_text(given)
    (machine.root / "secrets/alerts").mkdir()
    (machine.root / "secrets/alerts/TRANSHIP_ALERT_SLACK_WEBHOOK").write_text(
        "https://hooks/T1/secret"
    )
    (machine.root / "secrets/WORD").write_text("secret")
    (machine.fake / "volumes").write_text(f"{made}\n")
    (machine.fake / "log").write_text(
        f"password {given}{given} and {made}, posted to https://hooks/T1/secret by postgresql://u:hunter2@h/d\n"
    )
    done = machine.stack("support-bundle", str(tmp_path / "bundle.tar.gz"))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        texts = [file.read().decode() for file in map(bundle.extractfile, bundle) if file]
    everything = "\n".join(texts)
    assert "password [secret][secret] and [secret], posted to" in everything
    for secret in (given, made, "T1/secret", "hunter2"):
        assert secret not in everything
    assert (tmp_path / "bundle.tar.gz").stat().st_mode & 0o077 == 0


def test_no_function_of_the_script_waits_without_an_end():
    """Whatever asks another machine does so for seconds."""
    text = (CHECKOUT / "deploy/vm/lib/checks.sh").read_text()
    asking: list[Callable[[str], bool]] = [
        lambda line: "/dev/tcp" in line,
        lambda line: "getent" in line,
    ]
    for line in text.splitlines():
        if any(one(line) for one in asking) and not line.lstrip().startswith("#"):
            assert "timeout " in line, line
