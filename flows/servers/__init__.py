"""Starting, watching and ending the servers and the worker."""
