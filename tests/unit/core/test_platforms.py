"""What the library's README says of platforms: outside of `runs`, nothing is asked for that macOS or Windows lack."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import tranship
from tranship import spool
from tranship.errors import ConfigurationError

CHECKOUT = Path(__file__).parents[3]
LIBRARY = Path(tranship.__file__).parent
#: The watcher of alerts is a service of the stack, as the runs in containers are.
OF_THE_STACK = ("runs", "alerts/watch.py")
EVERYWHERE = [
    file
    for file in sorted(LIBRARY.rglob("*.py"))
    if not any(file.is_relative_to(LIBRARY / part) for part in OF_THE_STACK)
]
POSIX_MODULES = {
    "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty",
}  # fmt: skip
POSIX_NAMES = {
    "os": {
        "chown", "chroot", "fork", "forkpty", "geteuid", "getegid", "getgid", "getgroups", "getloadavg", "getpgid", "getuid",
        "killpg", "lchown", "mkfifo", "nice", "openpty", "pipe2", "posix_fadvise", "posix_fallocate", "pread", "pwrite",
        "register_at_fork", "sched_getaffinity", "sendfile", "setpgid", "setsid", "statvfs", "sync", "uname", "wait", "wait3",
    },
    "select": {"epoll", "kqueue", "poll"},
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "setitimer"},
    "socket": {"AF_UNIX", "TCP_USER_TIMEOUT", "socketpair"},
    "time": {"tzset"},
}  # fmt: skip
"""What Python documents as available on Unix only (or not on Windows), of the modules that this library might use."""


def unguarded(tree: ast.AST) -> Iterator[str]:
    """The Unix-only names that a module asks for and does not look for before, by `hasattr` or `os.name`."""
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "hasattr(" in ast.unparse(node.test):
            guarded |= {below for line in node.body for below in ast.walk(line)}
        if isinstance(node, ast.FunctionDef) and "os.name == 'nt'" in ast.unparse(node):
            guarded |= set(ast.walk(node))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in POSIX_NAMES.get(node.value.id, set())
            and node not in guarded
        ):
            yield f"{node.value.id}.{node.attr}"


def imported(tree: ast.AST) -> set[str]:
    return {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip


def without_encoding(tree: ast.AST) -> Iterator[str]:
    """Texts that are read or written in whatever encoding the machine has; on Windows that is not UTF-8."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            has_encoding = any(keyword.arg == "encoding" for keyword in node.keywords)
            mode = node.args[0] if node.args else None
            is_text_mode = isinstance(mode, ast.Constant) and mode.value in {"r", "w", "a", "x"}
            if not has_encoding and (
                node.func.attr in {"read_text", "write_text"}
                or (node.func.attr == "open" and is_text_mode)
            ):
                yield f"line {node.lineno}: {node.func.attr}"


@pytest.mark.parametrize("file", EVERYWHERE, ids=lambda file: str(file.relative_to(LIBRARY)))
def test_a_module_asks_for_nothing_that_other_platforms_lack(file: Path):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert imported(tree) & POSIX_MODULES == set()
    assert list(unguarded(tree)) == []
    assert list(without_encoding(tree)) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import select\nselect.poll()", ["select.poll"]),
        ("import os\nos.register_at_fork(after_in_child=f)", ["os.register_at_fork"]),
        ("if hasattr(os, 'register_at_fork'):\n    os.register_at_fork(after_in_child=f)", []),
        ("def f():\n    if os.name == 'nt':\n        return\n    os.geteuid()", []),
    ],
)
def test_unix_only_names_are_known(source: str, names: list[str]):
    assert list(unguarded(ast.parse(source))) == names


_WITHOUT = """
import json, os, pkgutil, importlib, select, sys
# What others need of them they have taken by now.
import boto3, dagster, mssql_python, pandas, polars, psycopg2, pyarrow.parquet, sqlalchemy, dagster.components
import rich.console, tenacity
for module, names in json.loads(sys.argv[1]).items():
    for name in names:
        if hasattr(sys.modules.get(module), name) and name not in ("AF_UNIX", "socketpair"):
            delattr(sys.modules[module], name)
for module in json.loads(sys.argv[2]):
    sys.modules[module] = None
for module in json.loads(sys.argv[3]):
    importlib.import_module(module)
print("imported")
"""


def test_every_module_can_be_imported_where_unix_only_names_are_missing():
    modules = [
        ".".join(("tranship", *file.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__")
        for file in EVERYWHERE
        if file.name != "__main__.py"
    ]  # fmt: skip
    arguments = [
        json.dumps(value)
        for value in (
            {module: sorted(names) for module, names in POSIX_NAMES.items()},
            sorted(POSIX_MODULES - {"posix"}),
            modules,
        )
    ]
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WITHOUT, *arguments],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert finished.stdout.endswith("imported\n"), finished.stderr


def test_a_folder_of_ones_own_is_taken_where_files_have_no_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spool, "os", SimpleNamespace(name="nt"))
    folder = tmp_path / "spool"
    spool.make_own_folder(folder, "the spool")
    spool.make_own_folder(folder, "the spool")
    assert folder.is_dir()

    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigurationError, match="is a link or a file"):
        spool.make_own_folder(tmp_path / "link", "the spool")


def test_the_project_file_names_the_platforms_of_the_readme():
    project = tomllib.loads((CHECKOUT / "user_code/pyproject.toml").read_text())["project"]
    systems = {text.rpartition(" :: ")[2] for text in project["classifiers"] if "Operating" in text}
    readme = (CHECKOUT / "user_code/README.md").read_text()
    said = [line for line in readme.splitlines() if line.startswith(("| Linux", "| macOS"))]
    assert systems == {"Linux", "MacOS", "Windows"}
    assert all(name.casefold() in " ".join(said).casefold() for name in systems)


def test_this_platform_has_what_is_guarded():
    assert os.name != "nt"  # or the guards above would hide what they are to show
    assert hasattr(os, "register_at_fork")
