"""How well models recommend, beside other libraries: split files that all read, one judge for the lists of all."""
