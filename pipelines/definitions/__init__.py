"""One use case: the whole schema, how it is found, the context that a command opens on it, and the YAMLs."""
