"""A stand-in for SQL Server: speaks TDS 7.4, runs a T-SQL subset on DuckDB. For demos and tests only.

Why DuckDB: its results come as Arrow columns, which `encoding` turns into TDS rows a column at a time, and it lives in this
process, so the stand-in starts in well under a second and leaves nothing behind. What it costs: snapshots instead of locks (a
reader never waits for a writer), fractions of a second end at the microsecond, and an error aborts DuckDB's whole transaction,
which `transactions` has to mend (T-SQL keeps it open). README.md lists what is supported and how faithful it is.
"""
