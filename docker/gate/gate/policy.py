"""What this deployment's run containers may be, read once from the environment at start.

A missing or malformed setting stops the gate: it never falls back to something wider.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEPLOYMENT_LABEL = "tranship/deployment"
MEMORY_LABEL = "tranship/memory-bytes"

#: Where a run has something to mount or to work in. Nothing below /proc, /dev or /sys, through which a path may lead out
#: of the container (CVE-2024-21626: a working directory of /proc/self/fd/7), and nothing over the image's own programs.
DIRECTORIES = frozenset({"/tmp", "/run/secrets", "/var/spool", "/var/tmp", "/mnt", "/srv", "/data"})

_BYTE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_DIRECTORY = re.compile(r"(?!/(?:proc|sys|dev)(?:/|$))(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+", re.ASCII)
_PROGRAM = re.compile(r"[A-Za-z0-9_./-]{1,128}", re.ASCII)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*", re.ASCII
)
_USER = re.compile(r"[1-9][0-9]{0,9}:[1-9][0-9]{0,9}", re.ASCII)


class PolicyError(Exception):
    """A setting of the gate is missing or cannot be used; the text names the variable."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What run containers may be.

    Args:
        deployment: Value of the label `tranship/deployment`; the gate sees no container without it.
        images: Repository names whose images may run, any tag or digest.
        networks: Networks that run containers may join, by name.
        volumes: Named volumes that may be mounted: name -> whether writing is allowed.
        user: `uid:gid` that every run container gets; never root.
        max_memory_bytes: Ceiling of a container's memory limit.
        max_nano_cpus: Ceiling of its CPU limit, in billionths of a CPU.
        max_pids: Ceiling of its process limit.
        max_containers: How many run containers may live at once; ended ones do not count.
        max_total_memory_bytes: What the memory limits of living run containers may come to.
        directories: At or below which a working directory, a tmpfs and a volume may lie.
        programs: What run containers may start beside Dagster's run worker, by the first word of the command.
        max_stop_seconds: Longest grace period of a stop.
        name_prefix: What a container's name begins with; a free name could take over a service's DNS name.
        allow_pull: Whether images of `images` may be pulled from their registry.
        read_only_root: Whether every container's root file system is made read-only.
    """

    deployment: str
    images: frozenset[str]
    networks: frozenset[str]
    volumes: Mapping[str, bool]
    user: str
    max_memory_bytes: int
    max_nano_cpus: int
    max_pids: int
    max_containers: int
    max_total_memory_bytes: int
    directories: frozenset[str] = DIRECTORIES
    programs: frozenset[str] = frozenset()
    max_stop_seconds: int = 600
    name_prefix: str = "tranship-run-"
    allow_pull: bool = False
    read_only_root: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Policy":
        """Read the policy from `GATE_*` variables (see docker/gate/README.md).

        Raises:
            PolicyError: A variable is missing or malformed.
        """
        settings = _Settings(environment)
        networks = frozenset(settings.names("GATE_NETWORKS", _NAME))
        if reserved := networks & {"host", "none", "bridge", "default", "container"}:
            raise PolicyError(
                f"GATE_NETWORKS holds {', '.join(sorted(reserved))}; name an own network."
            )
        return cls(
            deployment=settings.matching("GATE_DEPLOYMENT", _NAME),
            images=frozenset(settings.names("GATE_IMAGES", _REPOSITORY)),
            networks=networks,
            volumes=settings.volumes("GATE_VOLUMES"),
            user=settings.matching("GATE_RUN_USER", _USER),
            max_memory_bytes=parse_bytes(settings.required("GATE_MAX_MEMORY"), "GATE_MAX_MEMORY"),
            max_nano_cpus=int(settings.positive("GATE_MAX_CPUS") * 1_000_000_000),
            max_pids=int(settings.positive("GATE_MAX_PIDS")),
            max_containers=int(settings.positive("GATE_MAX_CONTAINERS")),
            max_total_memory_bytes=parse_bytes(
                settings.required("GATE_MAX_TOTAL_MEMORY"), "GATE_MAX_TOTAL_MEMORY"
            ),
            directories=frozenset(
                settings.names("GATE_DIRECTORIES", _DIRECTORY, default=",".join(DIRECTORIES))
            ),
            programs=frozenset(settings.names("GATE_PROGRAMS", _PROGRAM, default="dagster"))
            - {"dagster"},
            name_prefix=settings.matching("GATE_NAME_PREFIX", _NAME, default="tranship-run-"),
            allow_pull=settings.switch("GATE_ALLOW_PULL", default=False),
            read_only_root=settings.switch("GATE_READ_ONLY_ROOT", default=True),
        )


class _Settings:
    """Typed reads of environment variables, each failing with the variable's name."""

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment

    def required(self, name: str, default: str = "") -> str:
        value = self._environment.get(name, "").strip() or default
        if not value:
            raise PolicyError(f"{name} is not set.")
        return value

    def matching(self, name: str, pattern: re.Pattern[str], default: str = "") -> str:
        value = self.required(name, default)
        if not pattern.fullmatch(value):
            raise PolicyError(f"{name} is {value!r}, which does not match {pattern.pattern}")
        return value

    def names(self, name: str, pattern: re.Pattern[str], default: str = "") -> list[str]:
        parts = [part.strip() for part in self.required(name, default).split(",")]
        for part in parts:
            if not pattern.fullmatch(part):
                raise PolicyError(f"{name} holds {part!r}, which does not match {pattern.pattern}")
        return parts

    def volumes(self, name: str) -> Mapping[str, bool]:
        found: dict[str, bool] = {}
        for part in filter(None, map(str.strip, self._environment.get(name, "").split(","))):
            volume, _, mode = part.partition(":")
            if not _NAME.fullmatch(volume) or mode not in ("ro", "rw"):
                raise PolicyError(f"{name} holds {part!r}; write NAME:ro or NAME:rw.")
            found[volume] = mode == "rw"
        return MappingProxyType(found)

    def positive(self, name: str) -> float:
        value = self.required(name)
        if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,3})?", value, re.ASCII) or not float(value):
            raise PolicyError(f"{name} is {value!r}, not a positive number.")
        return float(value)

    def switch(self, name: str, *, default: bool) -> bool:
        value = self.required(name, "true" if default else "false")
        if value not in ("true", "false"):
            raise PolicyError(f"{name} is {value!r}; write true or false.")
        return value == "true"


def parse_bytes(text: str, name: str) -> int:
    """Read a size such as `512m` or `4g` as bytes.

    Raises:
        PolicyError: The text is no such size.

    Example:
        >>> parse_bytes("2g", "GATE_MAX_MEMORY")
        2147483648
    """
    match = re.fullmatch(r"([0-9]{1,12})([bkmg]?)", text.lower(), re.ASCII)
    if not match or not int(match[1]):
        raise PolicyError(f"{name} is {text!r}, not a size such as 512m or 4g.")
    return int(match[1]) * _BYTE_UNITS[match[2]]
