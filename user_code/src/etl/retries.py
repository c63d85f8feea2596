"""How often a step is tried again; only faults that pass are (tranship.failures says which)."""

import dagster as dg

TRANSIENT_FAULTS = dg.RetryPolicy(
    max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
