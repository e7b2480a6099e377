"""Classical models of what a series will be."""
