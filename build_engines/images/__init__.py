"""Image folders, sample images and the canvas."""
