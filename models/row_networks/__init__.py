"""Networks over rows."""
