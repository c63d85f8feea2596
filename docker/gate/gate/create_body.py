"""The body of `containers/create`, built anew from what is allowed in the one that came.

Nothing of the received body is passed on as it is. A key that is not listed here must be empty, and is
dropped. Keys are compared without regard to case because the engine does so
(https://pkg.go.dev/encoding/json#Unmarshal), and must be ASCII because Go also folds U+017F to `s` and
U+212A to `k`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from gate import values
from gate.policy import DEPLOYMENT_LABEL, MEMORY_LABEL, Policy
from gate.refusals import RefusedError, forbidden

_TOP_KEYS = (
    "AttachStderr",
    "AttachStdout",
    "Cmd",
    "Env",
    "HostConfig",
    "Image",
    "Labels",
    "NetworkingConfig",
    "StopSignal",
    "StopTimeout",
    "User",
    "Volumes",
    "WorkingDir",
)
_HOST_KEYS = (
    "Binds",
    "CapDrop",
    "Init",
    "IpcMode",
    "LogConfig",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "Mounts",
    "NanoCpus",
    "NetworkMode",
    "OomScoreAdj",
    "PidsLimit",
    "ReadonlyRootfs",
    "RestartPolicy",
    "SecurityOpt",
    "ShmSize",
    "Tmpfs",
)

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.ASCII | re.DOTALL)
_LABEL = re.compile(r"(?:dagster|tranship)/[A-Za-z0-9_./-]{1,100}", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_REFERENCE = re.compile(
    r"(?P<repository>[a-z0-9][a-z0-9._:/-]*?)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_SIGNAL = re.compile(r"SIG(?:TERM|INT|QUIT)", re.ASCII)
_TMPFS_OPTION = re.compile(
    r"rw|noexec|nosuid|nodev|size=[0-9]{1,12}[kmg]?|mode=[0-7]{3,4}|uid=[0-9]{1,10}|gid=[0-9]{1,10}",
    re.ASCII,
)
_SECURITY = frozenset({"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"})
#: What a container logs is kept on the host: bounded, whatever the client asked for.
_LOG_CONFIG = MappingProxyType(
    {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
)
_MAX_ENV = 500

_PYTHON = re.compile(r"(?:(?:/[A-Za-z0-9_.-]+)*/)?python[0-9.]*", re.ASCII)
#: How a run's first process begins, and how one that is resumed does:
#: https://github.com/dagster-io/dagster/blob/master/python_modules/dagster/dagster/_cli/api.py
_RUN_WORKERS = frozenset({"execute_run", "resume_run"})
_TAKES_SECRETS = ["-m", "tranship.runs.worker"]
#: Read before the first line of the program: https://docs.python.org/3/using/cmdline.html#environment-variables,
#: https://man7.org/linux/man-pages/man8/ld.so.8.html#ENVIRONMENT
_LOADS_CODE = re.compile(r"PYTHON\w*|LD_\w+|GCONV_PATH|GLIBC_TUNABLES|BASH_ENV|ENV|PATH", re.ASCII)
_LOADS_NO_CODE = frozenset(
    {
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER",
        "PYTHONHASHSEED",
        "PYTHONIOENCODING",
        "PYTHONMALLOC",
        "PYTHONOPTIMIZE",
        "PYTHONTRACEMALLOC",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
    }
)


def rebuild(body: Mapping[str, object], policy: Policy) -> dict[str, object]:
    """Build the body that the engine gets.

    Args:
        body: The received body, parsed.
        policy: What run containers may be.

    Returns:
        A new body with limits, user, label and the hardening set.

    Raises:
        RefusedError: 400 for a value of the wrong type, 403 for one that is not allowed; names the key.
    """
    top = values.fields(body, _TOP_KEYS, "")
    host = values.fields(
        values.mapping(top.get("HostConfig"), "HostConfig"), _HOST_KEYS, "HostConfig."
    )
    network = _network(top, host, policy)
    user = str(top.get("User") or policy.user)
    if user not in (policy.user, policy.user.partition(":")[0]):
        raise forbidden(f"User must be {policy.user} (GATE_RUN_USER)")
    mounts = [*_mounts(host.get("Mounts"), policy), *_binds(host.get("Binds"), policy)]
    # docker-py repeats the targets of mounts here; anything else would be an anonymous volume.
    for path in values.mapping(top.get("Volumes"), "Volumes"):
        if all(path != mount["Target"] for mount in mounts):
            raise forbidden(f"Volumes: {path[:128]!r} is no mounted volume")
    host_config = _host_config(host, policy)
    rebuilt: dict[str, object] = {
        "Image": image_reference(top.get("Image"), policy),
        "Cmd": _command(top.get("Cmd"), [str(mount["Target"]) for mount in mounts], policy),
        "Env": _environment(top.get("Env")),
        "User": policy.user,
        "HostConfig": {**host_config, "NetworkMode": network, "Mounts": mounts},
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
    }
    # The engine's list of containers tells labels, and no limits.
    rebuilt["Labels"] = {
        **_labels(top.get("Labels"), policy),
        **_labels_of_compose(policy),
        MEMORY_LABEL: str(host_config["Memory"]),
    }
    if top.get("WorkingDir"):
        rebuilt["WorkingDir"] = values.directory(
            top["WorkingDir"], "WorkingDir", policy.directories
        )
    if top.get("StopSignal"):
        rebuilt["StopSignal"] = values.matching(top["StopSignal"], _SIGNAL, "StopSignal")
    if top.get("StopTimeout") is not None:
        rebuilt["StopTimeout"] = values.whole(
            top["StopTimeout"], "StopTimeout", policy.max_stop_seconds, lowest=0
        )
    return rebuilt


def container_name(name: str, policy: Policy) -> str:
    """Check a container's name: a free one could answer for a service in the network's DNS."""
    if not _NAME.fullmatch(name) or not name.startswith(policy.name_prefix):
        raise forbidden(f"the container's name must begin with {policy.name_prefix}")
    return name


def image_reference(value: object, policy: Policy) -> str:
    """Check an image reference against the allowed repository names; any tag or digest will do."""
    reference = values.text(value, "Image")
    match = _REFERENCE.fullmatch(reference)
    if not match or match["repository"] not in policy.images:
        raise forbidden(f"Image {reference[:200]!r} is not of an allowed repository (GATE_IMAGES)")
    return reference


def connect_body(body: Mapping[str, object]) -> str:
    """Read the container id of a `networks/{name}/connect` body; no endpoint settings are allowed."""
    fields = values.fields(body, ["Container", "EndpointConfig"], "")
    if any(values.mapping(fields.get("EndpointConfig"), "EndpointConfig").values()):
        raise forbidden("EndpointConfig must be empty")
    return values.matching(fields.get("Container"), re.compile("[0-9a-f]{64}"), "Container")


def _host_config(host: Mapping[str, object], policy: Policy) -> dict[str, object]:
    _refuse_weaker(host)
    memory = _limit(host, "Memory", policy.max_memory_bytes, "bytes, GATE_MAX_MEMORY")
    for name in ("MemorySwap", "MemoryReservation", "ShmSize"):
        if host.get(name):
            values.whole(host[name], f"HostConfig.{name}", memory)
    read_only = values.flag(host.get("ReadonlyRootfs"), "HostConfig.ReadonlyRootfs")
    rebuilt: dict[str, object] = {
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": _limit(host, "NanoCpus", policy.max_nano_cpus, "billionths, GATE_MAX_CPUS"),
        "PidsLimit": _limit(host, "PidsLimit", policy.max_pids, "processes, GATE_MAX_PIDS"),
        "ReadonlyRootfs": policy.read_only_root or read_only,
        "Init": values.flag(host.get("Init"), "HostConfig.Init"),
        "Tmpfs": _tmpfs(host.get("Tmpfs"), policy),
        "LogConfig": dict(_LOG_CONFIG),
        "RestartPolicy": {"Name": "no"},
        "IpcMode": "private",
        "Privileged": False,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
    }
    if host.get("ShmSize"):
        rebuilt["ShmSize"] = host["ShmSize"]
    if host.get("OomScoreAdj"):
        rebuilt["OomScoreAdj"] = values.whole(host["OomScoreAdj"], "HostConfig.OomScoreAdj", 1000)
    return rebuilt


def _refuse_weaker(host: Mapping[str, object]) -> None:
    """Refuse settings that ask for less than what every container gets anyway."""
    for option in values.strings(host.get("SecurityOpt"), "HostConfig.SecurityOpt"):
        if option not in _SECURITY:
            raise forbidden("HostConfig.SecurityOpt may hold no-new-privileges only")
    values.strings(host.get("CapDrop"), "HostConfig.CapDrop")
    if host.get("IpcMode") not in (None, "", "private"):
        raise forbidden("HostConfig.IpcMode must be private")
    where = "HostConfig.RestartPolicy"
    restart = values.fields(values.mapping(host.get("RestartPolicy"), where), ["Name"], f"{where}.")
    if restart.get("Name") not in (None, "", "no"):
        raise forbidden(f"{where} must be no: Dagster starts a run again, not the engine")
    where = "HostConfig.LogConfig"
    log = values.fields(
        values.mapping(host.get("LogConfig"), where), ["Type", "Config"], f"{where}."
    )
    if log.get("Type") not in (None, "", "json-file"):
        raise forbidden(f"{where}.Type must be json-file")


def _network(top: Mapping[str, object], host: Mapping[str, object], policy: Policy) -> str:
    network = values.text(host.get("NetworkMode"), "HostConfig.NetworkMode")
    if network not in policy.networks:
        raise forbidden(f"network {network[:128]!r} is not allowed (GATE_NETWORKS)")
    networking = values.mapping(top.get("NetworkingConfig"), "NetworkingConfig")
    # docker-py writes {"<network>": null} here beside NetworkMode, which the engine passes over.
    for key, value in networking.items():
        endpoints = values.mapping(value, f"NetworkingConfig.{key[:80]}")
        if key.lower() != "endpointsconfig":
            endpoints = {key: value}
        for name, endpoint in endpoints.items():
            if name != network or endpoint:
                raise forbidden(
                    "NetworkingConfig may name HostConfig.NetworkMode only, without settings"
                )
    return network


def _labels(value: object, policy: Policy) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, label in values.mapping(value, "Labels").items():
        if not _LABEL.fullmatch(key):
            raise forbidden(f"label {key[:80]!r} is not one of dagster/* or tranship/*")
        labels[key] = values.text(label, f"label {key}", empty=True)
    if MEMORY_LABEL in labels:
        raise forbidden(f"label {MEMORY_LABEL} is the gate's own")
    if labels.setdefault(DEPLOYMENT_LABEL, policy.deployment) != policy.deployment:
        raise forbidden(f"label {DEPLOYMENT_LABEL} must be {policy.deployment} (GATE_DEPLOYMENT)")
    if not labels.get("dagster/run_id"):
        raise forbidden("label dagster/run_id is missing")
    return labels


def _labels_of_compose(policy: Policy) -> dict[str, str]:
    """What makes a run container one of the project, as `docker compose run` would.

    `down --remove-orphans` takes it along, and with it the volumes and the network that would stay behind otherwise; `up
    --remove-orphans` those that have ended.
    """
    labels = {
        "project": policy.deployment,
        "service": "user-code",
        "oneoff": "True",
        "config-hash": "run",
    }
    return {f"com.docker.compose.{name}": label for name, label in labels.items()}


def _command(value: object, mounted: Collection[str], policy: Policy) -> list[str]:
    """Check that a command is a run worker's: any other could print the secrets that are mounted beside it.

    `dagster api execute_run ...` or `python -m dagster api execute_run ...`, each as it is or after
    `python -m tranship.runs.worker --from DIRECTORY ... --`.
    """
    command = values.strings(value, "Cmd")
    rest = command
    if len(rest) > 2 and _PYTHON.fullmatch(rest[0]) and rest[1:3] == _TAKES_SECRETS:
        options, dashes, rest = _parted(rest[3:])
        if not dashes or len(options) % 2 or any(name != "--from" for name in options[::2]):
            raise forbidden("Cmd: tranship.runs.worker takes --from DIRECTORY alone, and --")
        if unknown := [path for path in options[1::2] if path not in mounted]:
            raise forbidden(f"Cmd: --from {unknown[0][:80]!r} is no mounted volume")
    if len(rest) > 2 and _PYTHON.fullmatch(rest[0]) and rest[1:3] == ["-m", "dagster"]:
        rest = rest[2:]
    if rest and rest[0] in policy.programs:
        return command
    if len(rest) < 3 or rest[:2] != ["dagster", "api"] or rest[2] not in _RUN_WORKERS:
        raise forbidden(
            "Cmd is not that of a run worker, `dagster api execute_run` (GATE_PROGRAMS)"
        )
    return command


def _parted(words: list[str]) -> tuple[list[str], bool, list[str]]:
    """What stands before the first `--`, whether there is one, and what follows."""
    if "--" not in words:
        return words, False, []
    at = words.index("--")
    return words[:at], True, words[at + 1 :]


def _environment(value: object) -> list[str]:
    entries = values.strings(value, "Env")
    if len(entries) > _MAX_ENV:
        raise forbidden(f"Env has more than {_MAX_ENV} entries")
    for position, entry in enumerate(entries):
        if not _ENV.fullmatch(entry):
            raise forbidden(f"Env entry {position} is not NAME=value")
        name = entry.partition("=")[0]
        if _LOADS_CODE.fullmatch(name) and name not in _LOADS_NO_CODE:
            raise forbidden(
                f"Env: {name} could put other code in the run worker's place; set it in the image"
            )
    return entries


def _mounts(value: object, policy: Policy) -> Iterable[dict[str, object]]:
    for item in values.items(value, "HostConfig.Mounts"):
        mount = values.fields(
            values.mapping(item, "HostConfig.Mounts"),
            ["Type", "Source", "Target", "ReadOnly"],
            "HostConfig.Mounts.",
        )
        if mount.get("Type") != "volume":
            raise forbidden("HostConfig.Mounts.Type must be volume")
        read_only = values.flag(mount.get("ReadOnly"), "Mounts.ReadOnly")
        yield _mount(mount.get("Source"), mount.get("Target"), read_only, policy)


def _binds(value: object, policy: Policy) -> Iterable[dict[str, object]]:
    for entry in values.strings(value, "HostConfig.Binds"):
        source, _, rest = entry.partition(":")
        target, _, mode = rest.partition(":")
        if mode not in ("", "ro", "rw"):
            raise forbidden("HostConfig.Binds: the mode must be ro or rw")
        yield _mount(source, target, mode == "ro", policy)


def _mount(source: object, target: object, read_only: bool, policy: Policy) -> dict[str, object]:
    name = values.text(source, "HostConfig.Mounts.Source")
    if name not in policy.volumes:
        raise forbidden(f"volume {name[:128]!r} is not allowed (GATE_VOLUMES)")
    if not read_only and not policy.volumes[name]:
        raise forbidden(f"volume {name} may be mounted read-only only (GATE_VOLUMES)")
    path = values.directory(target, "HostConfig.Mounts.Target", policy.directories)
    return {"Type": "volume", "Source": name, "Target": path, "ReadOnly": read_only}


def _tmpfs(value: object, policy: Policy) -> dict[str, str]:
    rebuilt: dict[str, str] = {}
    for path, options in values.mapping(value, "HostConfig.Tmpfs").items():
        listed = values.text(options, "HostConfig.Tmpfs", empty=True)
        for option in filter(None, listed.split(",")):
            if not _TMPFS_OPTION.fullmatch(option):
                raise forbidden(f"HostConfig.Tmpfs: option {option[:40]!r} is not allowed")
        rebuilt[values.directory(path, "HostConfig.Tmpfs", policy.directories)] = listed
    return rebuilt


def _limit(host: Mapping[str, object], name: str, ceiling: int, unit: str) -> int:
    if host.get(name) is None:
        raise forbidden(f"HostConfig.{name} is missing: every run container needs the limit")
    try:
        return values.whole(host[name], f"HostConfig.{name}", ceiling)
    except RefusedError as refusal:
        raise RefusedError(refusal.status, f"{refusal.reason} ({unit})") from None
