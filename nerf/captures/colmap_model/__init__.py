"""The files of a COLMAP model and what follows from its points."""
