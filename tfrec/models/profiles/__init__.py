"""What a user took and how the user rated it, and what is answered from it alone."""
