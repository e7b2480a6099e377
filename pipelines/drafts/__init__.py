"""A first definition, guessed from a file."""
