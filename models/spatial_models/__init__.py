"""PyTorch models of the stack: the SPA encoder, and the small policy that joins it with Ego3D and action grids."""
