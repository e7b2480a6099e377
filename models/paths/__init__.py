"""Models that draw paths of the future."""
