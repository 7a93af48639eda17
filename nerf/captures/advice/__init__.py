"""Error messages for folders in which no scene is found."""
