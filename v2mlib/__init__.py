"""How much of a face's 3D geometry does a voice carry? See the notebooks for the answer."""

__version__ = "0.1.0"
