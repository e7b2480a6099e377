"""The rules for financial data, one idea a file."""
