"""`python -m standins.embedded.s3_server`: moto's server on a free port of 127.0.0.1."""

import argparse
import json
import logging
import sys
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

HOST = "127.0.0.1"


def main(argv: list[str]) -> int:
    """Serve until stopped; writes {"host", "port"} to the ready file once it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args(argv)

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each request
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(HOST, arguments.port, application, threaded=True)
    arguments.ready_file.write_text(json.dumps({"host": HOST, "port": server.port}))
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
