"""Move SQL Server tables to Postgres and Redshift with Dagster, as a stream of Arrow record batches."""
