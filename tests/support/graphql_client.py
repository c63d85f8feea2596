"""Dagster as its UI sees it: over GraphQL on the public port."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
REPOSITORY = {"repositoryLocationName": "etl", "repositoryName": "__repository__"}


class GraphQLError(AssertionError):
    """The webserver answered with an error."""


class GraphQLClient:
    """Launches, watches and terminates runs.

    Args:
        address: Such as `http://127.0.0.1:3000/graphql`.
    """

    def __init__(self, address: str):
        self._address = address

    def ask(self, query: str, **variables: Any) -> Any:
        """Send one query; gives its `data`.

        Raises:
            GraphQLError: The answer has errors.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise GraphQLError(error.read().decode()[:2000]) from error
        if told.get("errors"):
            raise GraphQLError(json.dumps(told["errors"])[:2000])
        return told["data"]

    def launch(self, job: str, tags: dict[str, str] | None = None) -> str:
        """Launch a job with its default configuration; gives the run's id."""
        parameters = {
            "selector": {**REPOSITORY, "jobName": job},
            "runConfigData": {},
            "executionMetadata": {
                "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]
            },
        }
        told = self.ask(
            """
            mutation ($parameters: ExecutionParams!) {
              launchRun(executionParams: $parameters) {
                __typename
                ... on LaunchRunSuccess { run { runId } }
                ... on PythonError { message }
                ... on PipelineNotFoundError { message }
              }
            }
            """,
            parameters=parameters,
        )["launchRun"]
        if "run" not in told:
            raise GraphQLError(json.dumps(told)[:2000])
        return told["run"]["runId"]

    def run(self, run_id: str) -> dict[str, Any]:
        """A run's status, tags and times."""
        query = """
            query ($id: ID!) {
              runOrError(runId: $id) {
                ... on Run { runId status startTime endTime tags { key value } }
              }
            }
        """
        return self.ask(query, id=run_id)["runOrError"]

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, the newest first."""
        query = """
            query ($job: String!) {
              runsOrError(filter: { pipelineName: $job }) {
                ... on Runs { results { runId status tags { key value } } }
              }
            }
        """
        return self.ask(query, job=job)["runsOrError"]["results"]

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """A run's events, the oldest first."""
        query = """
            query ($id: ID!) {
              logsForRun(runId: $id) {
                ... on EventConnection {
                  events {
                    __typename
                    ... on MessageEvent { message stepKey eventType timestamp }
                    ... on LogsCapturedEvent { fileKey }
                  }
                }
              }
            }
        """
        return self.ask(query, id=run_id)["logsForRun"]["events"]

    def messages(self, run_id: str) -> str:
        """All messages of a run's events, as one text."""
        return "\n".join(event.get("message") or "" for event in self.events(run_id))

    def output(self, run_id: str) -> str:
        """What a run's process wrote to standard output, as the UI shows it."""
        keys = [event["fileKey"] for event in self.events(run_id) if "fileKey" in event]
        if not keys:
            return ""
        query = "query ($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"
        found = self.ask(query, key=[run_id, "compute_logs", keys[-1]])["capturedLogs"]
        return found["stdout"] or ""

    def terminate(self, run_id: str) -> str:
        """Ask for a run's end; gives the answer's type."""
        mutation = "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }"
        return self.ask(mutation, id=run_id)["terminateRun"]["__typename"]

    def switch_schedule(self, name: str, *, on: bool) -> None:
        """Start or stop a schedule.

        Raises:
            GraphQLError: There is no such schedule.
        """
        if on:
            told = self.ask(
                """
                mutation ($selector: ScheduleSelector!) {
                  startSchedule(scheduleSelector: $selector) { __typename }
                }
                """,
                selector={**REPOSITORY, "scheduleName": name},
            )["startSchedule"]
        else:
            told = self.ask(
                """
                mutation ($id: String!) { stopRunningSchedule(id: $id) { __typename } }
                """,
                id=self.schedule(name)["id"],
            )["stopRunningSchedule"]
        if told["__typename"] != "ScheduleStateResult":
            raise GraphQLError(json.dumps(told))

    def schedule(self, name: str) -> dict[str, Any]:
        """A schedule with its state and last ticks."""
        query = """
            query ($selector: ScheduleSelector!) {
              scheduleOrError(scheduleSelector: $selector) {
                ... on Schedule {
                  id
                  cronSchedule
                  executionTimezone
                  scheduleState { status ticks(limit: 5) { status runIds } }
                }
              }
            }
        """
        selector = {**REPOSITORY, "scheduleName": name}
        return self.ask(query, selector=selector)["scheduleOrError"]

    def until(self, run_id: str, statuses: frozenset[str] = FINISHED, seconds: float = 90) -> str:
        """Wait until a run has one of these statuses; gives it.

        Raises:
            GraphQLError: It took longer; the run's messages are in the text.
        """
        status = ""
        for status in _each_half_second(seconds, lambda: self.run(run_id)["status"]):
            if status in statuses:
                return status
        raise GraphQLError(f"after {seconds:g} s the run is {status}\n{self.messages(run_id)}")


def _each_half_second(seconds: float, ask: Any) -> Iterator[Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield ask()
        time.sleep(0.5)
