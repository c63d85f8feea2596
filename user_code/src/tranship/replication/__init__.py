"""Replication as configuration: one YAML file of tables, loaded incrementally, exactly once, and checked."""

from tranship.replication.component import ReplicationComponent

__all__ = ["ReplicationComponent"]
