"""Dagster's webserver, obeying its own pages only.

    python -m tranship.webserver --host 127.0.0.1 --port 3000 --workspace workspace.yaml

    python -m tranship.webserver dev -m etl.definitions

Options are those of `dagster-webserver` and of `dagster dev`. What a request must be like is told in `tranship.webserver.own_pages`.

    python -m tranship.webserver --front-door-socket=/run/door/webserver.sock ...

listens there as well, for requests that a front door has asked for a login: `tranship.webserver.front_door`.
"""
