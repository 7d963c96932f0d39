"""Two dataset directories side by side: schema, new values, drift, and the limits on them."""
