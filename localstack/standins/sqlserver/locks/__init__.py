"""Locks as SQL Server has them, over an engine that has snapshots only.

docs/relational-databases/sql-server-transaction-locking-and-row-versioning-guide.md of MicrosoftDocs/sql-docs. `waiting` knows who waits for whom,
`table_locks` who holds what, `commits` what was committed since a snapshot, `reads` and `seeks` which rows a statement meets, `row_keys` which row is
which, and `write_set` what a transaction wrote, so that it can be written again over what others committed meanwhile.
"""
