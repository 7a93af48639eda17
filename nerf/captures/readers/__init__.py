"""One reader for each format of captures; `posed_images` and `frames` have what several share."""
