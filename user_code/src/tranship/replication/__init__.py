"""Replication as configuration: one YAML file of tables, loaded incrementally, exactly once, and checked."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tranship.replication.component import ReplicationComponent

__all__ = ["ReplicationComponent"]


def __getattr__(name: str) -> Any:
    """The component on first use: the command line and plain loads do without Dagster, a second of imports."""
    if name != "ReplicationComponent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tranship.replication.component import ReplicationComponent

    return ReplicationComponent


def __dir__() -> list[str]:
    """Dagster looks through a module's names for its component types."""
    return [*globals(), *__all__]
