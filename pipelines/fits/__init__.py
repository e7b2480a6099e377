"""A fit is a job and a folder."""
