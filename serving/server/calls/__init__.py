"""One request, answered with one servable: the checks, their order and their words are TF Serving's."""
