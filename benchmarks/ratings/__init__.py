"""Rating prediction by the protocols of the papers: random hold-outs, errors over all held-out ratings."""
