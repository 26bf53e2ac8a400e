"""An opened provider: its table of functions and what one worker's thread needs of it."""

from fastesp.engine.aead cimport provider_t


cdef class Provider:
    cdef const provider_t* table
    cdef void* state
    cdef readonly str name
    cdef readonly str version
