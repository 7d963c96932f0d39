"""Search for hyper-parameters: a space of config keys, trials that are jobs, and a study that remembers them."""
