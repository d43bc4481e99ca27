"""PyTorch models of the stack: the SPA encoder, and the small policy that joins it with Ego3D and action grids."""

import logging

# transformers imports torchao where it is installed, which then says at length which of its GPU code cannot be used.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
