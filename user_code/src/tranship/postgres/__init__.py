"""Postgres as a target and a source: connection, exact types, COPY in and out, Dagster's edge."""
