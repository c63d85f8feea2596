"""How the gate says no: one exception, carried to the client as the engine's own error format."""


class RefusedError(Exception):
    """A request that goes no further.

    Args:
        status: HTTP status for the client: 400 malformed, 403 forbidden, 404 not ours, 5xx ours or the engine's fault.
        reason: What was refused and why, for the client and the access log. Never holds a value of `Env`.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def malformed(reason: str) -> RefusedError:
    """The request is not what the protocol allows."""
    return RefusedError(400, reason)


def forbidden(reason: str) -> RefusedError:
    """The request is well formed and not allowed."""
    return RefusedError(403, reason)
