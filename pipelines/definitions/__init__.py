"""One use case: the whole schema, how it is found, and the YAMLs."""
