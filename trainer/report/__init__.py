"""One self-contained HTML page that says what a job is worth, and one that compares several."""
