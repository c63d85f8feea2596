"""What Postgres and Redshift share, because both speak one protocol and much the same SQL."""
