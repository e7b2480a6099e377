"""Models of a variance."""
