"""The frames of a video and their files."""
