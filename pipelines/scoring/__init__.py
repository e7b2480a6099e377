"""From a version and samples to prediction rows."""
