"""Whether the code server of a run answers.

Private because retries are lost while a code server is away (https://github.com/dagster-io/dagster/issues/14605,
https://github.com/dagster-io/dagster/issues/20730), and who wants to ask for them again has no public way to see that it is back.
"""

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin


def code_server_answers(run: dg.DagsterRun) -> bool:
    """Whether the code server that a run came from answers now."""
    origin = run.remote_job_origin
    if origin is None:
        return False
    location = origin.repository_origin.code_location_origin
    if not isinstance(location, GrpcServerCodeLocationOrigin):
        # Dagster starts it itself, in this process's host.
        return True
    try:
        location.create_client().ping("")
    except Exception:  # noqa: BLE001 - whatever it is, the server does not answer; it is asked again
        return False
    return True
