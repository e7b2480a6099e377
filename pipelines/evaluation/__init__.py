"""All candidates on the same dates."""
