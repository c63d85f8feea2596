"""Replication as configuration: one YAML file of tables, loaded incrementally, exactly once, and checked."""
