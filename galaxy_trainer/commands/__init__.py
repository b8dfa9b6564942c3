"""The command line: one module a command; ``options`` are those that several commands have."""
