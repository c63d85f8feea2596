"""Health checks of the webserver and the daemon, without the two seconds that importing Dagster costs.

python healthy.py webserver    the UI answers, and reaches its storage
python healthy.py daemon       every daemon thread has told of itself lately
"""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

import psycopg2

WEBSERVER = "http://127.0.0.1:3000/graphql"
PASSWORD_FILE = Path("/run/secrets/dagster/DAGSTER_POSTGRES_PASSWORD")
TIMEOUT_SECONDS = 8
REQUIRED_DAEMONS = frozenset(
    {"SENSOR", "SCHEDULER", "BACKFILL", "QUEUED_RUN_COORDINATOR", "MONITORING"}
)
MAX_SILENCE_SECONDS = 120
"""A daemon writes every 30 seconds."""


def webserver() -> str:
    """Ask for a run over GraphQL, which reads the storage; gives what is wrong, or nothing."""
    query = {"query": "{ runsOrError(limit: 1) { __typename } }"}
    request = urllib.request.Request(
        WEBSERVER, json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        found = json.load(answer)
    kind = ((found.get("data") or {}).get("runsOrError") or {}).get("__typename")
    return "" if kind == "Runs" else f"the runs cannot be read: {kind}"


def daemon() -> str:
    """Read the daemons' heartbeats from the storage; gives what is wrong, or nothing."""
    connection = psycopg2.connect(
        host=os.environ["DAGSTER_POSTGRES_HOST"],
        port=os.environ["DAGSTER_POSTGRES_PORT"],
        dbname=os.environ["DAGSTER_POSTGRES_DATABASE"],
        user=os.environ["DAGSTER_POSTGRES_USER"],
        password=PASSWORD_FILE.read_text(encoding="utf-8").removesuffix("\n")
        if PASSWORD_FILE.exists()
        else None,
        sslmode=os.environ.get("DAGSTER_POSTGRES_SSLMODE") or "prefer",
        sslrootcert=os.environ.get("SSL_CERT_FILE"),
        connect_timeout=TIMEOUT_SECONDS,
        application_name="health check",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("select daemon_type, body::json ->> 'timestamp' from daemon_heartbeats")
            heartbeats = {kind: float(told) for kind, told in cursor.fetchall()}
    finally:
        connection.close()
    oldest = time.time() - MAX_SILENCE_SECONDS
    silent = sorted(kind for kind in REQUIRED_DAEMONS if heartbeats.get(kind, 0) < oldest)
    return f"no heartbeat for {MAX_SILENCE_SECONDS} s of {', '.join(silent)}" if silent else ""


def main(arguments: list[str]) -> int:
    """0 when the named service is well; says on standard error what is wrong."""
    wrong = {"webserver": webserver, "daemon": daemon}[arguments[0]]()
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
