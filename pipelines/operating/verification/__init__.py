"""What an auditor asks of the record: is it whole, and do its decisions follow from what they were made on."""
