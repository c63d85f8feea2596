"""What operation does to the stack: schedules fire, runs outlive restarts, code is replaced, and nothing is forgotten."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from compose_stack import PROBES_REPOSITORY, ComposeStack
from graphql_client import GraphQLClient, GraphQLError

Value = TypeVar("Value")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module", autouse=True)
def ticking(dagster: GraphQLClient) -> Iterator[None]:
    """A schedule of every minute is on from the first of these tests to the last."""
    dagster.switch_schedule("every_minute", on=True)
    yield
    dagster.switch_schedule("every_minute", on=False)


def test_a_run_survives_a_restart_of_webserver_daemon_and_code_server(
    stack: ComposeStack, dagster: GraphQLClient
):
    run_id = dagster.launch("lingering_job")
    assert dagster.until(run_id, frozenset({"STARTED"})) == "STARTED"
    stack.compose("restart", "--timeout", "10", "webserver", "daemon", "user-code")
    stack.up()
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    assert [container.attrs["State"]["ExitCode"] for container in stack.run_containers(run_id)] == [
        0
    ]


def test_a_schedule_launches_a_run_that_succeeds(stack: ComposeStack, dagster: GraphQLClient):
    def tick() -> str:
        ticks = dagster.schedule("every_minute")["scheduleState"]["ticks"]
        return next((run for tick in ticks for run in tick["runIds"]), "")

    run_id = eventually(tick, seconds=100)
    dagster.switch_schedule("every_minute", on=False)
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    assert len(stack.run_containers(run_id)) == 1


def test_a_crashed_worker_is_told_of_and_run_again(
    bad_runs: dict[str, str], dagster: GraphQLClient
):
    first = bad_runs["crashing_job"]
    assert dagster.until(first) == "FAILURE"
    assert "ended with exit code 137" in dagster.messages(first)
    # What it wrote before it vanished is not lost.
    assert "about to vanish" in dagster.output(first)
    eventually(lambda: len(dagster.runs("crashing_job")) == 2, seconds=45)
    again = dagster.runs("crashing_job")[0]["runId"]
    assert again != first
    assert dagster.until(again) == "SUCCESS"


def test_new_user_code_is_served_and_run_after_replacing_that_service_alone(
    stack: ComposeStack, dagster: GraphQLClient
):
    others = {name: stack.container(name).id for name in ("webserver", "daemon", "gate")}
    stack.build_probes("second")
    second = {"TRANSHIP_VERSION": "second"}
    stack.compose("up", "--detach", "--no-build", "--no-deps", "user-code", environment=second)

    def run_of_new_code() -> str:
        # For a few seconds launches fail, or still find the old code.
        try:
            run_id = dagster.launch("speaking_job")
        except GraphQLError:
            return ""
        assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
        (container,) = stack.run_containers(run_id)
        return run_id if container.attrs["Config"]["Image"].endswith(":second") else ""

    run_id = eventually(run_of_new_code, seconds=90)
    (container,) = stack.run_containers(run_id)
    assert container.attrs["Config"]["Image"] == f"{PROBES_REPOSITORY}:second"
    said = "a word on standard output from second"
    assert eventually(lambda: said in dagster.output(run_id), seconds=20)
    assert {name: stack.container(name).id for name in others} == others


def test_history_and_data_are_there_after_down_and_up(stack: ComposeStack, dagster: GraphQLClient):
    loaded = dagster.launch("dim_product_category_job")
    assert dagster.until(loaded) == "SUCCESS", dagster.messages(loaded)
    secret = stack.secret("TRANSHIP_POSTGRES_PASSWORD")
    spoken = dagster.runs("speaking_job")[0]["runId"]
    output = dagster.output(spoken)
    assert "a word on standard output" in output
    stack.down()
    stack.up()
    assert dagster.run(loaded)["status"] == "SUCCESS"
    assert dagster.output(spoken) == output
    assert stack.secret("TRANSHIP_POSTGRES_PASSWORD") == secret
    with stack.warehouse() as connection, connection.cursor() as cursor:
        cursor.execute('select count(*) from "stg_DimProductCategory"')
        assert cursor.fetchone() == (4,)
    again = dagster.launch("dim_product_category_job")
    assert dagster.until(again) == "SUCCESS", dagster.messages(again)


def eventually(ask: Callable[[], Value], seconds: float) -> Value:
    """Ask until the answer is true; gives it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := ask():
            return answer
        time.sleep(1)
    raise AssertionError(f"nothing within {seconds:g} s")
