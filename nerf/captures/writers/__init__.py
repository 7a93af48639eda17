"""One writer for each format that a capture can be exported to."""
