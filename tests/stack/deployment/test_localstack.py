"""The Redshift library against LocalStack, where its other tests have moto."""

import os
import subprocess
import sys

import pytest
from compose_stack import ROOT, ComposeStack

SECONDS = 400


@pytest.mark.engine
@pytest.mark.timeout(SECONDS + 60)
def test_the_redshift_library_passes_its_own_tests_on_localstack(stack: ComposeStack):
    endpoint = f"http://127.0.0.1:{stack.ports['TRANSHIP_LOCALSTACK_HOST_PORT']}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/integration/redshift"],
        cwd=ROOT,
        env={**os.environ, "TRANSHIP_TEST_S3_ENDPOINT": endpoint},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout
