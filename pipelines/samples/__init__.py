"""From clean rows to a tensor, an index and folds."""
