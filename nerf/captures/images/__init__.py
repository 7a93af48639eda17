"""Image files: finding, choosing, decoding, scaling and masking them."""
