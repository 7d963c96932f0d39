"""Other libraries, each a command line that runs in an environment of its own and prints one line of JSON."""
