"""What everything stands on: errors, names, secrets, digests, whole files, home, calendars, Markdown, the digest of code."""
