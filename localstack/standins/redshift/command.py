"""`python -m standins redshift`: run the stand-in as a process of its own."""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

from standins.redshift.backend import Target
from standins.redshift.server import Options, RedshiftStandIn

PASSWORD_VARIABLE = "TRANSHIP_STANDIN_PASSWORD"
BANNER = """\
Redshift STAND-IN: a gateway in front of Postgres, for demos and tests. This is not Amazon Redshift.
Listening on {host}:{port}, Postgres behind it, S3 at {s3}. Ctrl+C ends it.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m standins redshift", description=__doc__)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=5439, help="0 takes a free port")
    p.add_argument("--postgres", required=True, metavar="URL", help="superuser URL of a Postgres")
    p.add_argument("--s3-endpoint", metavar="URL", help="without it: AWS")
    p.add_argument("--aws-endpoint", metavar="URL", help="for IAM; defaults to the S3 endpoint")
    p.add_argument("--region", default=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
    p.add_argument("--user", help="the admin user; without it: the user of the Postgres URL")
    p.add_argument(
        "--password", help=f"better given as ${PASSWORD_VARIABLE}; without it: Postgres'"
    )
    p.add_argument("--default-iam-role", metavar="ARN", help="what IAM_ROLE DEFAULT means")
    p.add_argument("--no-role-check", action="store_true", help="do not ask IAM for roles")
    p.add_argument("--tls-certificate", metavar="PEM")
    p.add_argument("--tls-key", metavar="PEM")
    p.add_argument("--ready-file", type=Path, help='gets {"host", "port"} once it listens')
    p.add_argument(
        "--exit-with-parent", action="store_true", help="end when the parent process ends"
    )
    return p


def _watch_parent(stop: "threading.Event", server: RedshiftStandIn) -> None:
    parent = os.getppid()
    while not stop.wait(0.5):
        if os.getppid() != parent:
            server.stop()
            return


async def _run(server: RedshiftStandIn, ready_file: Path | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    ready = threading.Event()
    work = asyncio.create_task(server.serve(ready))
    while not ready.is_set() and not work.done():
        await asyncio.sleep(0.01)
    if ready.is_set():
        o = server.options
        sys.stderr.write(BANNER.format(host=o.host, port=server.port, s3=o.s3_endpoint or "AWS"))
        if ready_file is not None:
            temporary = ready_file.with_suffix(".tmp")
            temporary.write_text(json.dumps({"host": o.host, "port": server.port}))
            temporary.replace(ready_file)
    await work


def _options(p: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    backend = Target.from_url(arguments.postgres, default_password=os.environ.get("PGPASSWORD", ""))
    user = arguments.user or backend.user
    password = arguments.password or os.environ.get(PASSWORD_VARIABLE)
    if password is None and user == backend.user:
        password = backend.password
    if not password:
        p.error(f"a password for {user} is needed: set ${PASSWORD_VARIABLE}")
    return Options(
        postgres=backend,
        user=user,
        password=password,
        host=arguments.host,
        port=arguments.port,
        s3_endpoint=arguments.s3_endpoint,
        aws_endpoint=arguments.aws_endpoint,
        region=arguments.region,
        default_role=arguments.default_iam_role,
        check_roles=not arguments.no_role_check,
        tls_certificate=arguments.tls_certificate,
        tls_key=arguments.tls_key,
    )


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    p = parser()
    arguments = p.parse_args(argv)
    server = RedshiftStandIn(_options(p, arguments))
    stop = threading.Event()
    if arguments.exit_with_parent:
        threading.Thread(target=_watch_parent, args=(stop, server), daemon=True).start()
    try:
        asyncio.run(_run(server, arguments.ready_file))
    finally:
        stop.set()
    return 0
