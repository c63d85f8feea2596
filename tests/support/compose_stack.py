"""The whole stack on a real engine, under a project name and ports of its own, and what is left of it on failure."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
import psycopg2
from docker.models.containers import Container
from psycopg2 import extensions

ROOT = Path(__file__).parents[2]
SHIPPED = ("docker-compose.yml", "docker-compose.vm.yml", "docker-compose.standin.yml")
"""The files that users have."""
FILES = (*SHIPPED, "tests/stack/deployment/docker-compose.test.yml")
PORTS: tuple[str, ...] = (
    "TRANSHIP_WEBSERVER_HOST_PORT",
    "TRANSHIP_SQLSERVER_HOST_PORT",
    "TRANSHIP_WAREHOUSE_HOST_PORT",
    "TRANSHIP_REDSHIFT_HOST_PORT",
    "TRANSHIP_LOCALSTACK_HOST_PORT",
    "TRANSHIP_HTTPS_PORT",
    "TRANSHIP_HTTP_PORT",
)
PROBES_REPOSITORY = "tranship/probes"
UP_SECONDS = 300
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class StackError(AssertionError):
    """A compose command failed; the text has the end of what it wrote."""


class ComposeStack:
    """One deployment of docker-compose.yml with the stand-in and the front door of a VM.

    Its user code is the real one plus tests/stack/probes: jobs that hang, crash and eat memory.

    Args:
        directory: Where secrets and, on failure, diagnostics are kept.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.project = f"tranship-test-{secrets.token_hex(3)}"
        self.engine = docker.from_env()
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        given = directory / "secrets"
        given.mkdir(parents=True)
        given.chmod(0o755)
        self.environment = {
            **without_settings(),
            **{name: str(port) for name, port in self.ports.items()},
            "TRANSHIP_SECRETS_DIRECTORY": str(given),
            "TRANSHIP_SAMPLE_SCALE": "0.1",
            # No port of a test is for other machines.
            "TRANSHIP_EDGE_ADDRESS": "127.0.0.1",
            # Behind a proxy with an authority of its own, the host's bundle has it.
            "TRANSHIP_EXTRA_CA": str(CERTIFICATES) if CERTIFICATES.exists() else "/dev/null",
            "DOCKER_BUILDKIT": "1",
        }

    # ---- compose ----

    def compose(
        self, *arguments: str, seconds: float = 120, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run one compose command on this project; gives its standard output.

        Raises:
            StackError: It failed or took too long.
        """
        files = [part for file in FILES for part in ("--file", str(ROOT / file))]
        command = ["docker", "compose", "--project-name", self.project, *files, *arguments]
        return self._run(command, seconds, environment)

    def build(self) -> None:
        """Build every image as users do, then the user code with the probes in it."""
        self.compose("build", "--quiet", seconds=900)
        self.build_probes("dev")

    def build_probes(self, tag: str) -> None:
        """Build the user code's image with the probes in it, which know this tag."""
        image = f"{PROBES_REPOSITORY}:{tag}"
        self.build_image(image, ROOT / "tests/stack/probes", "--build-arg", f"PROBE_VERSION={tag}")
        self.environment["TRANSHIP_USER_CODE_IMAGE"] = PROBES_REPOSITORY

    def build_image(self, image: str, context: Path, *options: str) -> None:
        """Build one image from a directory."""
        command = ["docker", "build", "--quiet", *options, "--tag", image, str(context)]
        self._run(command, 120, None)

    def up(self, *services: str) -> None:
        """Start the stack, or some services of it, and wait until every one is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait", *services, seconds=UP_SECONDS)

    def down(self, *options: str) -> None:
        """Stop the stack and remove its containers, those of runs with them."""
        self.compose("down", "--remove-orphans", "--timeout", "10", *options)

    def _run(
        self, command: Sequence[str], seconds: float, environment: Mapping[str, str] | None
    ) -> str:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**self.environment, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            raise StackError(f"{' '.join(command)} took longer than {seconds:g} s") from expired
        if done.returncode:
            raise StackError(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    # ---- containers ----

    def container(self, service: str) -> Container:
        """The container of a service, also when it has ended."""
        (found,) = self._labelled(*self._ours(), f"com.docker.compose.service={service}")
        return found

    def services(self) -> list[Container]:
        """The containers of all services, also those that have ended."""
        return self._labelled(*self._ours())

    def run_containers(self, run_id: str = "") -> list[Container]:
        """The run containers of this deployment, or of one run, running or not."""
        run = [f"dagster/run_id={run_id}"] if run_id else []
        return self._labelled(f"tranship/deployment={self.project}", *run)

    def _ours(self) -> tuple[str, ...]:
        # Compose labels the images it builds as well, so run containers inherit project and service, but not this.
        return f"com.docker.compose.project={self.project}", "com.docker.compose.oneoff=False"

    def _labelled(self, *labels: str) -> list[Container]:
        filters: dict[str, str | list[str] | bool] = {"label": list(labels)}
        return self.engine.containers.list(all=True, filters=filters)

    def python(self, service: str, code: str) -> tuple[int, str]:
        """Run Python code inside a service; gives exit code and output."""
        result = self.container(service).exec_run(["python", "-c", code])
        assert isinstance(result.output, bytes)
        return result.exit_code or 0, result.output.decode()

    def secret(self, name: str) -> str:
        """A data system's password, as the stack made it."""
        code = f"print(open('/run/secrets/data/{name}').read(), end='')"
        return self.python("user-code", code)[1]

    def left_behind(self) -> list[str]:
        """What the engine still has of this deployment: containers, volumes and networks."""
        ours = self._labelled(f"com.docker.compose.project={self.project}")
        things = [*self.engine.volumes.list(), *self.engine.networks.list()]
        names = [str(one.name) for one in (*ours, *self.run_containers())]
        return names + [str(one.name) for one in things if str(one.name).startswith(self.project)]

    # ---- systems ----

    @property
    def graphql(self) -> str:
        """The address of the webserver's GraphQL, as a user reaches it."""
        return f"http://127.0.0.1:{self.ports['TRANSHIP_WEBSERVER_HOST_PORT']}/graphql"

    def warehouse(self) -> contextlib.closing[extensions.connection]:
        """A connection to the warehouse through its port on 127.0.0.1."""
        return self._connected(
            "TRANSHIP_WAREHOUSE_HOST_PORT", "TRANSHIP_POSTGRES_PASSWORD", "warehouse", "warehouse"
        )

    def redshift(self) -> contextlib.closing[extensions.connection]:
        """A connection to the Redshift stand-in through its port on 127.0.0.1."""
        return self._connected(
            "TRANSHIP_REDSHIFT_HOST_PORT", "TRANSHIP_REDSHIFT_PASSWORD", "dev", "awsuser"
        )

    def _connected(
        self, port: str, secret: str, database: str, user: str
    ) -> contextlib.closing[extensions.connection]:
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.ports[port],
            dbname=database,
            user=user,
            password=self.secret(secret),
        )
        return contextlib.closing(connection)

    # ---- what is left on failure ----

    def keep_diagnostics(self) -> Path:
        """Write what is known of every container to a directory; no secret is in it, by design of the stack."""
        given = os.environ.get("TRANSHIP_DIAGNOSTICS_DIRECTORY")
        directory = Path(given) if given else self.directory / "diagnostics"
        directory.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(StackError):
            (directory / "ps.txt").write_text(self.compose("ps", "--all", "--no-trunc"))
        for container in [*self.services(), *self.run_containers()]:
            state = json.dumps(container.attrs, indent=1)
            (directory / f"{container.name}.json").write_text(state)
            (directory / f"{container.name}.log").write_bytes(container.logs(tail=500))
        return directory


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, each another one."""
    # All held at once, so that they differ.
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def without_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without what would change the stack: its defaults are what is tested."""
    ours = ("TRANSHIP_", "DAGSTER_", "AWS_", "ETL_", "COMPOSE_", "MSSQL_", "ACCEPT_EULA")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}
