"""One stack for the session, with runs that take long already under way, and what is left of it when a test fails."""

import subprocess
from collections.abc import Iterator

import pytest
from compose_stack import ROOT, ComposeStack
from graphql_client import GraphQLClient


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeStack]:
    """The whole stack, healthy. Removed in the end with its volumes."""
    # What the containers' engine lacks of base images is built or pulled, as `make up` does.
    subprocess.run([str(ROOT / "docker/airgap/images.sh")], check=True, timeout=900)
    stack = ComposeStack(tmp_path_factory.mktemp("stack"))
    failed_before = request.session.testsfailed
    try:
        stack.build()
        stack.up()
        yield stack
    except BaseException:
        _tell(request, stack)
        raise
    else:
        if request.session.testsfailed > failed_before:
            _tell(request, stack)
    finally:
        stack.down("--volumes")
        assert stack.left_behind() == []


@pytest.fixture(scope="session")
def dagster(stack: ComposeStack) -> GraphQLClient:
    """Dagster through the public port."""
    return GraphQLClient(stack.graphql)


@pytest.fixture(scope="session")
def bad_runs(dagster: GraphQLClient) -> dict[str, str]:
    """Runs that crash and that eat memory, launched early: their tests only wait for the end."""
    return {job: dagster.launch(job) for job in ("crashing_job", "greedy_job")}


def _tell(request: pytest.FixtureRequest, stack: ComposeStack) -> None:
    directory = stack.keep_diagnostics()
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nState and logs of every container are in {directory}", yellow=True)
