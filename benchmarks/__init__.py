"""What is measured, against what; the results stand in RESULTS.md."""
