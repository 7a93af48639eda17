"""Camera models, and lenses for other image sizes."""
