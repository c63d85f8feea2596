"""`run_etl_job`: SQL Server tables land in Postgres as `stg_*`, table by table."""
