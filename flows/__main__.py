"""`python -m finflow.flows` is the `finflow` command."""

from finflow.flows.command_line.app import main

if __name__ == "__main__":
    main()
