"""Makes a release of this checkout: `make release VERSION=0.2.0`. Nothing is pushed or published.

In this order: version, changelog, locks, wheel and sdist, images with digests, lists of what is inside (SBOM), a scan for known
vulnerabilities, a commit, and last a tag, only on a clean tree. A step that fails leaves the checkout as it was. CONTRIBUTING.md says what comes after.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email import message_from_string
from pathlib import Path

import click

PROJECTS = ("user_code/pyproject.toml", "localstack/pyproject.toml")
CHANGELOG = "CHANGELOG.md"
CHANGED = (*PROJECTS, CHANGELOG)
LOCKS = ("requirements/*.lock", "localstack/*.lock")
IMAGES = {
    "tranship/user-code": "requirements/user_code.lock",
    "tranship/dagster": "requirements/dagster.lock",
    "tranship/gate": "requirements/gate.lock",
    "tranship/edge": "requirements/edge.lock",
    "tranship/login": "requirements/login.lock",
    "tranship/standins": "requirements/standins.lock",
    "tranship/localstack": "localstack/requirements.lock",
}
"""The images that we build, and the lock of what Python has in each."""
PYTHON_IMAGE = "python:3.13-slim-trixie"
"""What each of them stands on, unless TRANSHIP_PYTHON_IMAGE names another, by its digest for example."""
UNRELEASED = "## Unreleased"
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.vm.yml")
STEPS = ("locks", "images", "sbom", "scan")
"""What may be left out, for a machine without the network or Docker."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")
_SECTION = re.compile(rf"^{UNRELEASED}\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_IN_PROJECT = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)


class ReleaseError(click.ClickException):
    """Why there is no release."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout that is released.

    Args:
        root: Its folder.
    """

    root: Path

    def run(self, *command: str, **environment: str) -> str:
        """Run a command in it and give what it printed; what went wrong is the error."""
        finished = subprocess.run(
            command, cwd=self.root, env=_environment(environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if finished.returncode:
            output = (finished.stdout + finished.stderr).strip()[-3000:]
            raise ReleaseError(f"{shlex.join(command)} ended with {finished.returncode}:\n{output}")
        return finished.stdout.strip()

    @property
    def version(self) -> str:
        """The version that the library has."""
        return tomllib.loads((self.root / PROJECTS[0]).read_text())["project"]["version"]

    @property
    def tags(self) -> list[str]:
        """The tags of releases, the newest first."""
        return self.run("git", "tag", "--list", "v*", "--sort=-version:refname").split()

    def refuse_changes(self, besides: Sequence[str] = ()) -> None:
        """Fail where the tree is not that of the commit, other than in some files."""
        changes = self.run("git", "status", "--porcelain").splitlines()
        if wrong := [line for line in changes if line.split(maxsplit=1)[-1] not in besides]:
            raise ReleaseError("The tree is not clean; commit or remove:\n" + "\n".join(wrong))


# ---- version and changelog ----


def check_version(version: str, checkout: Checkout) -> None:
    """Fail unless a version comes after the one that is there and after all releases."""
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version} is no version. Write it as 1.2.3, or 1.2.3rc1 before it.")
    if f"v{version}" in checkout.tags:
        raise ReleaseError(f"{version} is released: there is a tag v{version}.")
    is_first = not checkout.tags and version == checkout.version
    if not is_first and order_of(version) <= order_of(checkout.version):
        raise ReleaseError(f"{version} does not come after {checkout.version}.")


def order_of(version: str) -> tuple[int, int, int, str, int]:
    """What versions are sorted by; an `rc` comes before its release.

    Example:
        >>> order_of("1.0.0rc1") < order_of("1.0.0") < order_of("1.0.1a1")
        True
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ReleaseError(f"{version} is no version.")
    major, minor, patch, stage, number = match.groups()
    return int(major), int(minor), int(patch), stage or "z", int(number or 0)


def with_version(project: str, version: str) -> str:
    """The text of a project file with another version."""
    text, count = _IN_PROJECT.subn(f'version = "{version}"', project)
    if count != 1:
        raise ReleaseError(f"A project file has {count} lines of the form version = ...")
    return text


def with_release(changelog: str, version: str, day: date, before: str | None) -> str:
    """The changelog with what is unreleased under a version.

    Args:
        changelog: Its text.
        version: The version.
        day: The day of the release.
        before: The tag of the release before; `None` for the first one.
    """
    match = _SECTION.search(changelog)
    if match is None or not re.search(r"^- ", match[1], re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG} has nothing under {UNRELEASED}, so there is no release.")
    compare = f"All changes: `git log {before}..v{version}`." if before else "The first release."
    section = (
        f"{UNRELEASED}\n\n## {version} - {day:%Y-%m-%d}\n\n{compare}\n\n{match[1].strip()}\n\n"
    )
    return (changelog[: match.start()] + section + changelog[match.end() :]).rstrip() + "\n"


def write_version(checkout: Checkout, version: str, day: date) -> str:
    """Write the version into the project files and the changelog."""
    texts = {name: (checkout.root / name).read_text() for name in CHANGED}
    before = next(iter(checkout.tags), None)
    for name in PROJECTS:
        texts[name] = with_version(texts[name], version)
    texts[CHANGELOG] = with_release(texts[CHANGELOG], version, day, before)
    for name, text in texts.items():
        (checkout.root / name).write_text(text)
    return f"{', '.join(CHANGED)} say {version}"


# ---- what a release is made of ----


def check_locks(checkout: Checkout) -> str:
    """Fail where a lock is not what its `.in` file means today; the command to make it stands in its head."""
    locks = [lock for pattern in LOCKS for lock in sorted(checkout.root.glob(pattern))]
    for lock in locks:
        head = re.search(r"^#\s+uv (pip compile .*) -o (\S+)$", lock.read_text(), re.MULTILINE)
        if head is None:
            raise ReleaseError(f"{lock.name} does not say how it was made.")
        with tempfile.TemporaryDirectory() as folder:
            again = shutil.copy(lock, folder)  # what it pins is kept where it still may be
            checkout.run(_tool("uv"), *shlex.split(head[1]), "--quiet", "-o", again)
            if _pins(Path(again)) != _pins(lock):
                raise ReleaseError(
                    f"{head[2]} is not what it is made of. Run: uv {head[1]} -o {head[2]}"
                )
    return f"{len(locks)} locks are what their .in files mean"


def build_packages(checkout: Checkout, version: str, into: Path) -> str:
    """Build the wheel and the sdist, and look into them."""
    epoch = checkout.run("git", "log", "-1", "--format=%ct")
    checkout.run(
        _tool("uv"), "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(into),
        "user_code", SOURCE_DATE_EPOCH=epoch,
    )  # fmt: skip
    (into / ".gitignore").unlink(missing_ok=True)
    (wheel,) = into.glob("tranship-*.whl")
    (sdist,) = into.glob("tranship-*.tar.gz")
    check_packages(wheel, sdist, version)
    return f"{wheel.name} and {sdist.name}"


def check_packages(wheel: Path, sdist: Path, version: str) -> None:
    """Fail where a package has another version, lacks what it must have, or has what it must not."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = message_from_string(
            archive.read(f"tranship-{version}.dist-info/METADATA").decode()
            if f"tranship-{version}.dist-info/METADATA" in names
            else ""
        )
    with tarfile.open(sdist) as archive:
        inside = {
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        }
    wrong = [
        *(["its version"] if metadata["Version"] != version else []),
        *(["no text for its page"] if not str(metadata.get_payload()).strip() else []),
        *(["no licence"] if not any(name.endswith("/LICENSE") for name in names) else []),
        *(["no py.typed"] if "tranship/py.typed" not in names else []),
        *(["more than the library"] if any(name.startswith("etl/") for name in names) else []),
        *(
            f"an sdist without {name}"
            for name in ("pyproject.toml", "LICENSE")
            if name not in inside
        ),
        *(
            ["an sdist with more than the library"]
            if any("/etl/" in name for name in inside)
            else []
        ),
    ]
    if wrong:
        raise ReleaseError(f"{wheel.name} has {', '.join(wrong)}.")


def build_images(checkout: Checkout, version: str, into: Path) -> str:
    """Build the images and write down which they are, and which packages of Debian each holds."""
    if not _has_docker(checkout):
        return "NOT BUILT: no Docker engine answers here. Build them on a machine that has one: make release, or docker compose build"
    files = [part for file in COMPOSE_FILES for part in ("--file", file)]
    checkout.run("docker", "compose", *files, "build", "--quiet", TRANSHIP_VERSION=version)
    digests: dict[str, str] = {}
    base = os.environ.get("TRANSHIP_PYTHON_IMAGE", PYTHON_IMAGE)
    for name in IMAGES:
        image = f"{name}:{version}"
        digests[image] = checkout.run("docker", "image", "inspect", "--format", "{{.Id}}", image)
        packages = checkout.run(
            "docker", "run", "--rm", "--network=none", "--entrypoint=dpkg-query", image, "-W"
        )
        (into / f"{name.partition('/')[2]}.debian.txt").write_text(packages + "\n")
    # A base image that no registry gave has no digest but its own.
    told = checkout.run("docker", "image", "inspect", "--format", "{{.Id}} {{.RepoDigests}}", base)
    digests[f"{base} (base)"] = told
    (into / "images.json").write_text(json.dumps(digests, indent=2) + "\n")
    return f"{len(IMAGES)} images, their digests and that of their base in images.json"


@contextmanager
def _release_tools(checkout: Checkout) -> Iterator[Path]:
    """The folder of the programs that requirements/release.lock pins, installed for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "bin/python")
        checkout.run(sys.executable, "-m", "venv", "--without-pip", folder)
        checkout.run(
            _tool("uv"), "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", "requirements/release.lock",
        )  # fmt: skip
        yield Path(folder) / "bin"


def write_sboms(checkout: Checkout, into: Path) -> str:
    """Write what each image has of Python as CycloneDX, from the lock that it is made of to the byte."""
    with _release_tools(checkout) as programs:
        for name, lock in IMAGES.items():
            target = into / f"{name.partition('/')[2]}.cdx.json"
            checkout.run(
                str(programs / "cyclonedx-py"), "requirements", lock, "--pyproject", PROJECTS[0],
                "--output-reproducible", "--output-format", "JSON", "--output-file", str(target),
            )  # fmt: skip
    return f"{len(IMAGES)} lists of Python packages (CycloneDX)"


def scan(checkout: Checkout, into: Path) -> str:
    """Ask the database of the Python Packaging Authority what is known of each lock, and write its answers down.

    Raises:
        ReleaseError: Something is known of a package, or the database did not answer; says which.
    """
    with _release_tools(checkout) as programs:
        for name, lock in IMAGES.items():
            target = into / f"{name.partition('/')[2]}.vulnerabilities.json"
            checkout.run(
                str(programs / "pip-audit"), "--disable-pip", "--require-hashes", "--requirement", lock,
                "--progress-spinner", "off", "--format", "json", "--output", str(target),
            )  # fmt: skip
    return f"nothing is known of the packages of {len(IMAGES)} locks"


def write_sums(into: Path) -> str:
    """Write the SHA-256 of every file of the release."""
    files = [file for file in sorted(into.iterdir()) if file.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (into / "SHA256SUMS").write_text("".join(lines))
    return f"{len(files)} files"


# ---- the release ----


def release(checkout: Checkout, version: str, day: date, without: Sequence[str] = ()) -> Path:
    """Make a release; gives the folder of its files.

    Args:
        checkout: What is released; its tree has to be clean.
        version: The version.
        day: The day that the changelog names.
        without: Steps that are left out, of `STEPS`.

    Raises:
        ReleaseError: A step failed. The checkout is as it was.
    """
    checkout.refuse_changes()
    check_version(version, checkout)
    into = checkout.root / "dist" / version
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    steps = {
        "version": lambda: write_version(checkout, version, day),
        "locks": lambda: check_locks(checkout),
        "packages": lambda: build_packages(checkout, version, into),
        "images": lambda: build_images(checkout, version, into),
        "sbom": lambda: write_sboms(checkout, into),
        "scan": lambda: scan(checkout, into),
        "sums": lambda: write_sums(into),
    }
    with _as_it_was(checkout):
        for name, step in steps.items():
            click.echo(f"{name:9} {'LEFT OUT' if name in without else step()}")
        checkout.run("git", "add", "--", *CHANGED)
        checkout.refuse_changes(besides=CHANGED)
        checkout.run("git", "commit", "--quiet", "--message", f"Release {version}")
    checkout.refuse_changes()
    checkout.run("git", "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    click.echo(f"{'tag':9} v{version} on {checkout.run('git', 'rev-parse', '--short', 'HEAD')}")
    return into


@click.command(help=__doc__)
@click.argument("version")
@click.option(
    "--dry-run", is_flag=True, help="Do it all in a copy of the last commit, and throw that away."
)
@click.option(
    "--without", type=click.Choice(STEPS), multiple=True, help="Leave a step out; may be repeated."
)
@click.option(
    "--checkout",
    "root",
    type=click.Path(path_type=Path),
    default=Path(__file__).parents[1],
    hidden=True,
)
def main(version: str, dry_run: bool, without: tuple[str, ...], root: Path) -> None:
    """The command line."""
    today = datetime.now(UTC).date()
    if dry_run:
        Checkout(root).refuse_changes()
        with tempfile.TemporaryDirectory(prefix="tranship-release-") as folder:
            Checkout(root).run(
                "git", "clone", "--quiet", "--no-hardlinks", str(root.resolve()), folder
            )
            release(Checkout(Path(folder)), version, today, without)
        click.echo("That was a dry run: nothing is left of it.")
        return
    into = release(Checkout(root), version, today, without)
    click.echo(f"The files are in {into}. Nothing was pushed: git push origin HEAD v{version}")


# ---- parts ----


@contextmanager
def _as_it_was(checkout: Checkout) -> Iterator[None]:
    """Take back what a block wrote into the tree, where it fails."""
    try:
        yield
    except BaseException:
        checkout.run("git", "checkout", "--quiet", "HEAD", "--", *CHANGED)
        raise


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **more}


def _has_docker(checkout: Checkout) -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        checkout.run("docker", "info")
    except ReleaseError:
        return False
    return True


def _pins(lock: Path) -> list[str]:
    """What a lock says, without its comments."""
    return [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]


def _tool(name: str) -> str:
    """A tool of the environment that this runs in."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()
