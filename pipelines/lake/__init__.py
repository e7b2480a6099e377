"""The Delta tables, one file a table, and reading as of an instant."""
