"""Great Expectations: the rules for financial data, and the suites built of them."""
