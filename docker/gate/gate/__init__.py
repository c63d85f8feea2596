"""The gate: the one process that holds the Docker engine's socket, and what it lets through."""
