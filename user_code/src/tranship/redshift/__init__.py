"""Amazon Redshift as a target and a source: Parquet through S3, exact types, one transaction a write, Dagster's edge."""
