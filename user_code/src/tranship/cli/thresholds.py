"""At how many rows a table is small, large, or very large."""

SMALL_ROWS = 10_000
"""Tables of so many rows or fewer are copied whole, unless the user says otherwise."""
LARGE_ROWS = 1_000_000
"""From here on a full copy is expensive enough to propose a load of new rows alone."""
VERY_LARGE_ROWS = 20_000_000
"""From here on a table is worth partitioning."""
