"""Pages about runs: one HTML file each, which fetches nothing, and the parts that they share."""
