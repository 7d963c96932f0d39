"""Users' items read as text."""
