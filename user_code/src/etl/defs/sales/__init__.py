"""Sales in Redshift: the fact by month, a summary, and proof that both agree with Postgres."""
