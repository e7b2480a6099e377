"""Models of the tails of a return."""
