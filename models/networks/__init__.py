"""Networks over windows."""
