"""Poses and timestamps of a trajectory, and the images that belong to them."""
