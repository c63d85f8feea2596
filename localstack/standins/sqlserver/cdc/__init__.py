"""Change Data Capture: every row that changed, as it was and as it is, as SQL Server's capture job writes it down from the log.

`store` is what a database keeps of it and the job that fills the change tables, `recording` what a session changed and has not committed
yet, `definitions` what switches it on and off and moves its ends, `procedures` how T-SQL calls that, `functions` how it is read, `lsns`
what its numbers look like, and `errors` what it refuses with.
"""
