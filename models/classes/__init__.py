"""Models of the class that comes next."""
