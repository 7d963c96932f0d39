"""What a command line asks for: flags, environment, files."""
