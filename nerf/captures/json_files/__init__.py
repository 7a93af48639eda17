"""The contents of transforms.json and similar files."""
