"""One command makes a release: everything says one version, and the tag comes last, on a clean tree."""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).parents[3]
SCRIPT = CHECKOUT / "scripts/release.py"
PARTS = ("user_code", "localstack/pyproject.toml", "CHANGELOG.md", "LICENSE", ".gitignore")
WITHOUT = ("--without", "locks", "--without", "images", "--without", "sbom", "--without", "scan")
DAY = date(2026, 11, 30)


def loaded() -> ModuleType:
    """The script, which is no package."""
    spec = importlib.util.spec_from_file_location("release_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


release = loaded()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own with what a release reads, all of it committed."""
    for variable in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{variable}_NAME", "A maintainer")
        monkeypatch.setenv(f"GIT_{variable}_EMAIL", "maintainer@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for part in PARTS:
        source, target = CHECKOUT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, target)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All of it")
    return tmp_path


def git(folder: Path, *command: str) -> str:
    return subprocess.run(
        ["git", *command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def run(copy: Path, version: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), version, "--checkout", str(copy), *options],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


def state(copy: Path) -> tuple[str, str, str]:
    """The commit, the tags and what is not committed."""
    return (
        git(copy, "rev-parse", "HEAD"),
        git(copy, "tag"),
        git(copy, "status", "--porcelain"),
    )


def test_a_release_says_one_version_everywhere_and_ends_with_a_tag(copy: Path):
    finished = run(copy, "0.2.0", *WITHOUT)

    assert finished.returncode == 0, finished.stderr
    assert git(copy, "tag", "--points-at", "HEAD") == "v0.2.0"
    assert git(copy, "log", "-1", "--format=%s") == "Release 0.2.0"
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "diff", "--name-only", "HEAD~1").split() == [
        "CHANGELOG.md",
        "localstack/pyproject.toml",
        "user_code/pyproject.toml",
    ]
    files = copy / "dist/0.2.0"
    wheel = files / "tranship-0.2.0-py3-none-any.whl"
    assert {file.name for file in files.iterdir()} == {
        wheel.name,
        "tranship-0.2.0.tar.gz",
        "SHA256SUMS",
    }
    lines = (files / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums[wheel.name] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert "images    LEFT OUT" in finished.stdout
    assert "Nothing was pushed" in finished.stdout


def test_a_second_release_is_compared_with_the_first(copy: Path):
    assert run(copy, "0.2.0", *WITHOUT).returncode == 0
    changelog = copy / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("## Unreleased\n", "## Unreleased\n\n- Fixed: it.\n", 1)
    )
    git(copy, "commit", "--quiet", "--all", "--message", "Mend it")

    assert run(copy, "0.2.1", *WITHOUT).returncode == 0
    assert "All changes: `git log v0.2.0..v0.2.1`.\n\n- Fixed: it.\n" in changelog.read_text()


def test_a_dry_run_does_it_all_and_leaves_nothing(copy: Path):
    before = state(copy)
    finished = run(copy, "0.2.0", "--dry-run", *WITHOUT)

    assert finished.returncode == 0, finished.stderr
    assert "tag       v0.2.0" in finished.stdout
    assert "nothing is left of it" in finished.stdout
    assert state(copy) == before
    assert not (copy / "dist").exists()


def test_a_tree_that_is_not_clean_is_refused(copy: Path):
    (copy / "forgotten.txt").write_text("")
    before = state(copy)
    finished = run(copy, "0.2.0", *WITHOUT)

    assert finished.returncode == 1
    assert "The tree is not clean; commit or remove:\n?? forgotten.txt" in finished.stderr
    assert state(copy) == before


def test_a_step_that_fails_leaves_the_checkout_as_it_was(copy: Path):
    (copy / "user_code/README.md").unlink()
    git(copy, "commit", "--quiet", "--all", "--message", "Forget the page")
    before = state(copy)
    finished = run(copy, "0.2.0", *WITHOUT)

    assert finished.returncode == 1
    assert "README.md" in finished.stderr
    assert state(copy) == before


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.0", "1.0 is no version"),
        ("v1.0.0", "v1.0.0 is no version"),
        ("0.0.9", "0.0.9 does not come after 0.1.0"),
        ("0.1.0rc1", "0.1.0rc1 does not come after 0.1.0"),
        ("0.3.0", "0.3.0 is released: there is a tag v0.3.0"),
    ],
)
def test_a_version_has_to_come_after_the_others(copy: Path, version: str, why: str):
    git(copy, "tag", "v0.3.0")
    with pytest.raises(release.ReleaseError) as caught:
        release.check_version(version, release.Checkout(copy))
    assert why in caught.value.message


def test_the_first_release_may_have_the_version_that_is_there(copy: Path):
    release.check_version(release.Checkout(copy).version, release.Checkout(copy))


CHANGES = (
    "# Changelog\n\n## Unreleased\n\n### Values\n\n- Fixed: a.\n\n## 0.1.0 - 2026-01-01\n\n- b.\n"
)


def test_what_is_unreleased_gets_a_version_a_day_and_what_to_compare_with():
    assert release.with_release(CHANGES, "0.2.0", DAY, "v0.1.0") == (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-30\n\nAll changes: `git log v0.1.0..v0.2.0`.\n\n"
        "### Values\n\n- Fixed: a.\n\n## 0.1.0 - 2026-01-01\n\n- b.\n"
    )


@pytest.mark.parametrize(
    "changelog", ["# Changelog\n", "## Unreleased\n\n### Values\n\n## 0.1.0\n\n- b.\n"]
)
def test_nothing_to_say_is_no_release(changelog: str):
    with pytest.raises(release.ReleaseError, match="nothing under ## Unreleased"):
        release.with_release(changelog, "0.2.0", DAY, None)


def test_a_wheel_with_more_than_the_library_is_refused(tmp_path: Path):
    wheel, sdist = tmp_path / "tranship-0.2.0-py3-none-any.whl", tmp_path / "s.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("etl/definitions.py", "")
        archive.writestr("tranship-0.2.0.dist-info/METADATA", "Version: 0.1.0\n\n")
    subprocess.run(["tar", "-czf", str(sdist), "-T", os.devnull], check=True)
    with pytest.raises(release.ReleaseError) as caught:
        release.check_packages(wheel, sdist, "0.2.0")
    assert caught.value.message == (
        "tranship-0.2.0-py3-none-any.whl has its version, no text for its page, no licence, no py.typed, "
        "more than the library, an sdist without pyproject.toml, an sdist without LICENSE."
    )


def test_a_machine_without_docker_is_told_what_is_missing(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", os.devnull)
    said = release.build_images(release.Checkout(copy), "0.2.0", tmp_path)
    assert said.startswith("NOT BUILT: no Docker engine answers here")


def test_images_are_written_down_by_digest(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(
        '#!/bin/sh\ncase "$*" in *inspect*) echo sha256:7;; *dpkg*) echo libc6;; esac\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    into = tmp_path / "into"
    into.mkdir()

    release.build_images(release.Checkout(copy), "0.2.0", into)

    assert json.loads((into / "images.json").read_text()) == {
        **{f"{image}:0.2.0": "sha256:7" for image in release.IMAGES},
        "python:3.13-slim-trixie (base)": "sha256:7",
    }
    assert (into / "gate.debian.txt").read_text() == "libc6\n"


def test_what_is_known_of_a_package_stops_the_release_and_is_told(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    programs = tmp_path / "programs"
    programs.mkdir()
    audit = programs / "pip-audit"
    audit.write_text(
        "#!/bin/sh\ncase \"$*\" in *gate.lock*) echo 'aiohttp 3.14.5 CVE-2026-1' >&2; exit 1;; esac\n"
    )
    audit.chmod(0o755)

    @contextlib.contextmanager
    def installed(_checkout: object):
        yield programs

    monkeypatch.setattr(release, "_release_tools", installed)
    with pytest.raises(release.ReleaseError) as caught:
        release.scan(release.Checkout(copy), tmp_path)
    assert "aiohttp 3.14.5 CVE-2026-1" in caught.value.message


def test_every_image_that_compose_builds_is_in_the_release_with_a_lock_that_exists():
    compose = "".join((CHECKOUT / file).read_text() for file in release.COMPOSE_FILES)
    assert all(image.removeprefix("tranship/") in compose for image in release.IMAGES)
    assert compose.count("image: ") >= len(release.IMAGES)
    assert [lock for lock in release.IMAGES.values() if not (CHECKOUT / lock).exists()] == []


def test_every_lock_says_how_it_was_made():
    for pattern in release.LOCKS:
        for lock in CHECKOUT.glob(pattern):
            assert f"-o {lock.relative_to(CHECKOUT)}\n" in lock.read_text()


def test_the_library_carries_the_licence_of_the_repository():
    # A copy, not a link: that would lead out of the sdist.
    licence = CHECKOUT / "user_code/LICENSE"
    assert not licence.is_symlink()
    assert licence.read_text() == (CHECKOUT / "LICENSE").read_text()
