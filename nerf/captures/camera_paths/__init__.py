"""Camera paths as files."""
