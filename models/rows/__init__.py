"""Models of an outcome of rows."""
