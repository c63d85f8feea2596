"""A deployment as Dagster's Docker example has it, with the same code location and versions as ours.

Stock `DockerRunLauncher`, default run queue, storage and compute logs, `dagster api grpc`, images by plain pip, the
engine's socket in the webserver and the daemon.
"""

import json
import secrets
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
USER_CODE_IMAGE = "tranship-bench/stock-user-code:dev"
DAGSTER_IMAGE = "tranship-bench/stock-dagster:dev"

_INSTALL = """
FROM python:3.13-slim-trixie
RUN apt-get update -qq \\
 && apt-get install -qq -y --no-install-recommends libgssapi-krb5-2 libkrb5-3 libltdl7 >/dev/null
COPY requirements/{lock}.lock /requirements.lock
RUN --mount=type=secret,id=extra_ca \\
    if [ -s /run/secrets/extra_ca ]; then export PIP_CERT=/run/secrets/extra_ca; fi; \\
    python -m venv /venv && /venv/bin/pip install --quiet --no-cache-dir -r /requirements.lock
ENV PATH=/venv/bin:$PATH
"""
_USER_CODE = """
WORKDIR /opt/dagster/app
COPY user_code/pyproject.toml .
COPY user_code/src src
COPY bench/run_launch_probe.py src/etl/defs/probe.py
RUN printf '%s\\n' 'from pathlib import Path' 'import dagster as dg' '@dg.definitions' 'def defs():' \\
    '    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)' >src/etl/definitions.py
ENV PYTHONPATH=/opt/dagster/app/src
EXPOSE 4000
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "etl.definitions"]
"""
_DAGSTER = """
ENV DAGSTER_HOME=/opt/dagster/dagster_home
WORKDIR $DAGSTER_HOME
COPY dagster.yaml workspace.yaml $DAGSTER_HOME
"""
_ENVIRONMENT = {
    "DAGSTER_POSTGRES_USER": "postgres_user",
    "DAGSTER_POSTGRES_DB": "postgres_db",
}


class StockDeployment:
    """The example's four services, on a network and a port of their own.

    Args:
        directory: Where its files are written.
        port: Of the webserver, on 127.0.0.1.
        authorities: A PEM file for builds behind a proxy; may be /dev/null.
    """

    def __init__(self, directory: Path, port: int, authorities: Path):
        self.directory = directory
        self.address = f"http://127.0.0.1:{port}/graphql"
        self.network = f"tranship-bench-{secrets.token_hex(3)}"
        self._authorities = authorities
        environment = {**_ENVIRONMENT, "DAGSTER_POSTGRES_PASSWORD": secrets.token_hex(16)}
        names = list(environment)
        instance = {
            "scheduler": {"module": "dagster._core.scheduler", "class": "DagsterDaemonScheduler"},
            "run_coordinator": {
                "module": "dagster._core.run_coordinator",
                "class": "QueuedRunCoordinator",
            },
            "run_launcher": {
                "module": "dagster_docker",
                "class": "DockerRunLauncher",
                "config": {"env_vars": names, "network": self.network},
            },
            "storage": {
                "postgres": {
                    "postgres_db": {
                        # SQLAlchemy 2.1 takes a plain postgresql:// for a driver that is not installed.
                        "scheme": "postgresql+psycopg2",
                        "hostname": "postgres",
                        "username": {"env": names[0]},
                        "db_name": {"env": names[1]},
                        "password": {"env": names[2]},
                    }
                }
            },
        }
        workspace = {
            "load_from": [
                {"grpc_server": {"host": "user_code", "port": 4000, "location_name": "etl"}}
            ]
        }
        plain = {"networks": ["default"], "environment": environment, "restart": "on-failure"}
        dagster = {
            **plain,
            "image": DAGSTER_IMAGE,
            "volumes": ["/var/run/docker.sock:/var/run/docker.sock"],
            "depends_on": ["postgres", "user_code"],
        }
        compose = {
            "name": self.network,
            "networks": {"default": {"name": self.network}},
            "services": {
                "postgres": {
                    **plain,
                    "image": "postgres:17-trixie",
                    "environment": {
                        "POSTGRES_USER": environment[names[0]],
                        "POSTGRES_DB": environment[names[1]],
                        "POSTGRES_PASSWORD": environment[names[2]],
                    },
                },
                "user_code": {
                    **plain,
                    "image": USER_CODE_IMAGE,
                    "environment": {**environment, "DAGSTER_CURRENT_IMAGE": USER_CODE_IMAGE},
                },
                "webserver": {
                    **dagster,
                    "command": "dagster-webserver -h 0.0.0.0 -p 3000 -w workspace.yaml",
                    "ports": [f"127.0.0.1:{port}:3000"],
                },
                "daemon": {**dagster, "command": "dagster-daemon run"},
            },
        }
        # JSON is YAML.
        for name, content in (
            ("dagster.yaml", instance),
            ("workspace.yaml", workspace),
            ("docker-compose.yml", compose),
        ):
            (directory / name).write_text(json.dumps(content, indent=1))

    def up(self) -> None:
        """Build both images and start the services."""
        self._build(USER_CODE_IMAGE, _INSTALL.format(lock="user_code") + _USER_CODE, ROOT)
        # The second image's own files are in its directory, the lock as well.
        lock = self.directory / "requirements/dagster.lock"
        lock.parent.mkdir()
        lock.write_bytes((ROOT / "requirements/dagster.lock").read_bytes())
        self._build(DAGSTER_IMAGE, _INSTALL.format(lock="dagster") + _DAGSTER, self.directory)
        self._compose("up", "--detach", "--quiet-pull")

    def down(self) -> None:
        """Remove everything but the images."""
        self._compose("down", "--volumes", "--timeout", "5")

    def _build(self, image: str, dockerfile: str, context: Path) -> None:
        file = self.directory / f"{image.split('/')[1].split(':')[0]}.Dockerfile"
        file.write_text(dockerfile.lstrip())
        # What stands beside a Dockerfile under this name is its own list of what the build may see.
        file.with_name(f"{file.name}.dockerignore").write_text("**/__pycache__\n.venv\n.git\n")
        command = ["docker", "build", "--quiet", "--tag", image, "--file", str(file)]
        command += ["--secret", f"id=extra_ca,src={self._authorities}", str(context)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _compose(self, *arguments: str) -> None:
        command = ["docker", "compose", "--file", str(self.directory / "docker-compose.yml")]
        subprocess.run([*command, *arguments], check=True, capture_output=True)
