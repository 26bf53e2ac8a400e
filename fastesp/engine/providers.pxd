"""An opened provider, and making a cipher context of a suite and keys."""

from libc.stdint cimport uint8_t, uint32_t

from fastesp.engine.aead cimport crypt_t, provider_t


cdef class Provider:
    cdef const provider_t* table
    cdef void* state
    cdef readonly str name
    cdef readonly str version


cdef class KeyCopy:
    cdef uint8_t data[128]
    cdef uint32_t length

    cdef int take(self, const uint8_t* data, Py_ssize_t length) except -1


# Index of the provider that made `crypt`. Raises ValueError.
cdef int make_crypt(
    tuple providers, object suite, KeyCopy key, KeyCopy integrity_key, bint sealing, bint esn, bint ah, crypt_t* crypt
) except -1
