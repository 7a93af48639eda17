"""The parts of `nerf.compare`."""
