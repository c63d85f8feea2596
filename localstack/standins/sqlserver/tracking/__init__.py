"""Change Tracking: which keys changed since a version, as SQL Server records it.

`store` is what a database keeps of it, `recording` what a session changed and has not committed yet, `definitions` what switches it on
and off, `sources` and `functions` how T-SQL reads it, `permissions` who may, and `errors` what it refuses with.
"""
