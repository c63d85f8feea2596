"""Which tables a code location leaves out because they cannot be loaded as things are."""

from datetime import datetime

import dagster as dg

from tranship.alerts.incidents import IncidentLog, Kind, Recovery, Trouble
from tranship.alerts.pages import asset_page
from tranship.failures import LEFT_OUT_METADATA


def watch_left_out(
    repository: dg.RepositoryDefinition | None, log: IncidentLog, now: datetime, ui_url: str
) -> None:
    """Take into the log which tables are left out, and which are not any more.

    Args:
        repository: The code location's definitions; nothing is known without them.
        log: What is known; changed in place.
        now: The present.
        ui_url: Where the UI is.
    """
    if repository is None:
        return
    nodes = {node.key.to_user_string(): node for node in repository.asset_graph.asset_nodes}
    group = f"look {now.timestamp():.0f}"
    for subject, node in nodes.items():
        reason = node.metadata.get(LEFT_OUT_METADATA)
        if reason is not None:
            page = asset_page(ui_url, node.key.path)
            log.add(
                Trouble(
                    Kind.LEFT_OUT,
                    subject,
                    str(reason),
                    now.timestamp(),
                    links=(page,),
                    group=group,
                )
            )
    for incident in log.open(Kind.LEFT_OUT):
        subject = incident.trouble.subject
        if subject not in nodes:
            log.drop(incident)
        elif LEFT_OUT_METADATA not in nodes[subject].metadata:
            links = incident.trouble.links
            log.recover(Recovery(Kind.LEFT_OUT, subject, now.timestamp(), links, group=group))
