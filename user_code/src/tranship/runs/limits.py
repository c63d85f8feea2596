"""How much memory, CPU and how many processes a run's container gets: defaults, tags, and a ceiling."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from docker import errors as docker_errors
from docker.utils import parse_bytes

from tranship.errors import ConfigurationError

MEMORY_TAG = "tranship/memory"
CPUS_TAG = "tranship/cpus"
PIDS_TAG = "tranship/pids"

_MEMORY, _CPUS, _PIDS = "memory", "cpus", "pids"
_FIELDS = {_MEMORY: "memory_bytes", _CPUS: "nano_cpus", _PIDS: "pids"}
_NOUNS = {_MEMORY: "memory", _CPUS: "CPUs", _PIDS: "processes"}
_TAGS = {_MEMORY: MEMORY_TAG, _CPUS: CPUS_TAG, _PIDS: PIDS_TAG}
#: Arguments of docker-py's `containers.create` that a code location may set instead of a tag.
_ARGUMENTS = {_MEMORY: "mem_limit", _CPUS: "nano_cpus", _PIDS: "pids_limit"}
#: The engine refuses less: https://docs.docker.com/engine/containers/resource_constraints/
_LEAST_MEMORY_BYTES = 6 << 20


class RunLimitError(ConfigurationError):
    """A run asks for more than the ceiling of the deployment, or for something that is no amount.

    What to do: Ask for less in the run's tags, or raise the ceiling in dagster.yaml.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use; `None` stands for no limit.

    Args:
        memory_bytes: Memory; swap is not granted on top.
        nano_cpus: CPU time in billionths of a CPU.
        pids: Processes and threads.
    """

    memory_bytes: int | None = None
    nano_cpus: int | None = None
    pids: int | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, object] | None, where: str) -> "Limits":
        """Read `{memory: 2g, cpus: "1.5", pids: 256}`.

        Raises:
            RunLimitError: A value is no amount; names `where`.
        """
        return cls(
            **{
                _FIELDS[kind]: _amount(kind, value, f"{where}.{kind}")
                for kind, value in (config or {}).items()
                if value is not None
            }
        )

    def __str__(self) -> str:
        return ", ".join(
            [
                f"memory {in_words(_MEMORY, self.memory_bytes)}",
                f"CPUs {in_words(_CPUS, self.nano_cpus)}",
                f"processes {in_words(_PIDS, self.pids)}",
            ]
        )

    def environment(self) -> dict[str, str]:
        """Give the variables that tell libraries of the limits, those that do not ask by themselves.

        NumPy's OpenBLAS starts a thread for every processor of the machine when it is imported. Where a container
        may use less, they use up its share: a run of one CPU stood still for a tenth of a second.
        """
        if self.nano_cpus is None:
            return {}
        return {"OPENBLAS_NUM_THREADS": str(math.ceil(self.nano_cpus / 1e9))}

    def container_arguments(self) -> dict[str, int]:
        """Give the arguments of docker-py's `containers.create`."""
        arguments: dict[str, int] = {}
        if self.memory_bytes is not None:
            # The same figure for memory and swap together: no swap, so that a run fails fast and clearly.
            arguments |= {"mem_limit": self.memory_bytes, "memswap_limit": self.memory_bytes}
        if self.nano_cpus is not None:
            arguments["nano_cpus"] = self.nano_cpus
        if self.pids is not None:
            arguments["pids_limit"] = self.pids
        return arguments


def limits_of_run(
    tags: Mapping[str, str],
    container_arguments: Mapping[str, object],
    default: Limits,
    ceiling: Limits,
) -> Limits:
    """Decide what a run gets: its tag, else its code location's setting, else the deployment's default.

    Args:
        tags: The run's tags; `tranship/memory`, `tranship/cpus` and `tranship/pids` count.
        container_arguments: `container_kwargs` of the code location and the launcher, merged.
        default: What a run gets that does not say.
        ceiling: What no run may exceed. Where there is a ceiling and nobody says, the ceiling is the limit.

    Returns:
        The limits.

    Raises:
        RunLimitError: The run asks for more than the ceiling, or for something that is no amount.

    Example:
        >>> str(limits_of_run({"tranship/memory": "512m"}, {}, Limits(pids=64), Limits(1 << 30)))
        'memory 512 MiB, CPUs unlimited, processes 64'
    """
    amounts: dict[str, int | None] = {}
    for kind, field in _FIELDS.items():
        tag, argument = _TAGS[kind], _ARGUMENTS[kind]
        highest: int | None = getattr(ceiling, field)
        amount: int | None = getattr(default, field)
        source = f"run_launcher.config.limits.{kind}"
        if container_arguments.get(argument) is not None:
            source = f"container_kwargs.{argument}"
            amount = _argument(kind, container_arguments[argument], source)
        if tag in tags:
            source = f"the tag {tag}"
            amount = _amount(kind, tags[tag], source)
        if amount is None:
            amount = highest
        elif highest is not None and amount > highest:
            raise RunLimitError(
                f"The run asks for {_NOUNS[kind]} {in_words(kind, amount)} ({source}); the ceiling of this"
                f" deployment is {in_words(kind, highest)}.",
                f"Ask for less, or raise run_launcher.config.ceiling.{kind} in dagster.yaml.",
            )
        amounts[field] = amount
    return Limits(**amounts)


def in_words(kind: str, amount: int | None) -> str:
    """Write an amount as a reader would: `512 MiB`, `1.5`, `unlimited`."""
    if amount is None:
        return "unlimited"
    if kind == _CPUS:
        return f"{amount / 1e9:g}"
    if kind == _PIDS:
        return str(amount)
    return f"{amount / (1 << 30):g} GiB" if amount >= 1 << 30 else f"{amount / (1 << 20):g} MiB"


def _argument(kind: str, value: object, source: str) -> int:
    if kind == _CPUS and isinstance(value, int):
        return value  # docker-py's nano_cpus is in billionths already
    return _amount(kind, value, source)


def _amount(kind: str, value: object, source: str) -> int:
    text = str(value).strip()
    try:
        if kind == _MEMORY:
            amount, least = int(parse_bytes(text)), _LEAST_MEMORY_BYTES
        elif kind == _CPUS:
            amount, least = round(float(text) * 1_000_000_000), 10_000_000
        else:
            amount, least = int(text), 1
    except (ValueError, OverflowError, docker_errors.DockerException):
        amount, least = 0, 1
    if amount < least:
        example = {_MEMORY: "512m or 2g", _CPUS: "0.5 or 2", _PIDS: "256"}[kind]
        raise RunLimitError(
            f"{source} is {text!r}, which is no amount of {_NOUNS[kind]}.",
            f"Write for example {example}.",
        )
    return amount
