"""Files → blocks of whole lines → Arrow tables of strings → typed, valid rows; what is unusable is rejected."""
