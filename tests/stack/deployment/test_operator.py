"""What ./stack says of a stack that runs, and what of it leaves the machine."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from compose_stack import ROOT, ComposeStack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]


def operate(stack: ComposeStack, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    settings = folder / "stack.env"
    settings.write_text("STACK_STANDIN=yes\n")
    environment = {
        **stack.environment,
        "COMPOSE_PROJECT_NAME": stack.project,
        "STACK_ENV": str(settings),
    }
    return subprocess.run(
        [str(ROOT / "stack"), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_status_is_well(stack: ComposeStack, tmp_path: Path):
    done = operate(stack, tmp_path, "status")
    assert done.returncode == 0, done.stdout + done.stderr
    services = {
        line.split()[0]: line.partition(" ")[2].strip() for line in done.stdout.splitlines()
    }
    assert services["webserver"] == "well"
    assert services["secrets"] == "has run"
    assert services["address"] == stack.graphql.removesuffix("graphql")


def test_no_secret_of_the_stack_is_in_a_support_bundle(stack: ComposeStack, tmp_path: Path):
    done = operate(stack, tmp_path, "support-bundle", str(tmp_path / "bundle.tar.gz"))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        files = {one.name: bundle.extractfile(one) for one in bundle}
        texts = {name: file.read().decode(errors="replace") for name, file in files.items() if file}
    assert "well" in texts["tranship-support/status.txt"]
    assert "tranship-support/daemon.log" in texts
    code = (
        "import json, pathlib; print(json.dumps({file.name: file.read_text() for folder in ('dagster', 'data') "
        "for file in pathlib.Path('/run/secrets', folder).iterdir() if file.suffix != '.pem'}))"
    )
    exit_code, output = stack.python("user-code", code)
    assert exit_code == 0, output
    secrets = json.loads(output)
    assert len(secrets) >= 7
    shown = {
        name
        for name, value in secrets.items()
        for text in texts.values()
        if value and value in text
    }
    assert shown == set()
