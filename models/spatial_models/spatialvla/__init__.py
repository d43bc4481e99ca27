"""SpatialVLA: a vision-language-action model with 3D positions and adaptive action grids (arXiv 2501.15830)."""
