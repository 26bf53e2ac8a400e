"""fastesp: the ESP data plane, and the IPsec gateway built on it."""

__version__ = "0.1.0"
