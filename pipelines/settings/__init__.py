"""The parts of a definition that a person writes."""
