"""One reader for each format of captures."""
