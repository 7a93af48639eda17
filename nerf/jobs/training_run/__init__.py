"""The parts of `nerf.train`."""
