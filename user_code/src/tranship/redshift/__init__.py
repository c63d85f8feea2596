"""Amazon Redshift as a target: Parquet staged in S3, one transaction for each write."""
