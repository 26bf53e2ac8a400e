"""Who does the cryptography: found at start, named in `status`, forced by an option."""

from cpython.pycapsule cimport PyCapsule_GetPointer

from importlib import import_module

MODULES = {"ipsec-mb": "fastesp.engine.aead_ipsecmb", "openssl": "fastesp.engine.aead_openssl"}
"""Providers by name, the fastest first."""


cdef class Provider:
    """One provider, opened for one SA table."""

    def __cinit__(self, str name):
        module = import_module(MODULES[name])
        self.name = name
        self.version = module.VERSION
        self.table = <const provider_t*>PyCapsule_GetPointer(module.TABLE, "fastesp.engine.provider")
        self.state = self.table.open()

    def __dealloc__(self):
        if self.table != NULL:
            self.table.close(self.state)

    def __repr__(self):
        return f"<Provider {self.name} {self.version}>"


def available_providers():
    """Usable providers, name -> version, the fastest first."""
    found = {}
    for name, module in MODULES.items():
        try:
            found[name] = import_module(module).VERSION
        except ImportError:
            continue
    return found


def open_providers(name):
    """What an SA table may use, by preference. ``auto``: all there are; a name: that one alone, without a fallback.

    Raises :class:`ValueError` for an unknown name, and for one that this machine does not have, with the reason.
    """
    if name == "auto":
        return tuple(Provider(found) for found in available_providers())
    if name not in MODULES:
        raise ValueError(f"unknown crypto provider '{name}' (known: auto, {', '.join(MODULES)})")
    try:
        return (Provider(name),)
    except ImportError as error:
        raise ValueError(f"crypto provider '{name}' is not usable here: {error}") from error
