"""The command line: one module a command; ``config`` reads options from TOML files."""
