"""SQL Server as a source: connection, catalogue, and a reader that gives Arrow record batches."""
