"""Load on a model server: requests of real users at a given rate or concurrency, and what became of them."""
