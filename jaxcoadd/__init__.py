"""Coadds of aligned astronomical images, as pure JAX functions."""

import lazy_loader

# The names are in __init__.pyi. They load on first use, so that the command
# can print its help without loading JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
