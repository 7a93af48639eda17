"""Known depths: depth images and points."""
