"""Protocol messages of TF Serving that its API package leaves out."""
