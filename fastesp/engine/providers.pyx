"""Who does the cryptography: found at start, named in `status`, forced by an option."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastesp.engine.aead cimport ICV_MAX, job_t, request_t
from fastesp.engine.openssl cimport OPENSSL_cleanse

from importlib import import_module

from fastesp.engine.suites import sizes_of

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object value)

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

    def seal(self, suite, key, integrity_key, bytes head, bytes iv, bytes text, *, high=None):
        """One job, for known answers: ``text`` sealed, and its ICV. ``high`` is ESN's upper half, None: no ESN."""
        return self.run(suite, key, integrity_key, head, iv, text, None, high)

    def authenticate(self, suite, integrity_key, bytes packet, uint32_t iv_at, *, high=None):
        """One job of AH, for known answers: the ICV of ``packet``, whose IV, if it has one, begins at ``iv_at``."""
        cdef bytearray copy = bytearray(packet)
        cdef uint8_t icv[ICV_MAX]
        cdef crypt_t crypt
        cdef job_t job
        _, integrity = sizes_of(suite.encryption, suite.key_bits, suite.integrity, ah=True)
        if iv_at + integrity.iv > len(packet):
            raise ValueError(f"an IV of {integrity.iv} bytes at {iv_at} is beyond a packet of {len(packet)} bytes")
        make_crypt((self,), suite, KeyCopy(None), KeyCopy(integrity_key), True, high is not None, True, &crypt)
        try:
            memset(&job, 0, sizeof(job))
            job.context = crypt.context
            job.head = copy
            job.iv = job.head + iv_at
            job.text = job.head
            job.length = <uint32_t>len(packet)
            job.sequence_high = high or 0
            job.icv = icv
            crypt.run(&job, 1)
            return bytes(icv[:<Py_ssize_t>integrity.icv]) if job.ok else None
        finally:
            crypt.destroy(crypt.context)

    def open(self, suite, key, integrity_key, bytes head, bytes iv, bytes text, bytes icv, *, high=None):
        """One job, for known answers: ``text`` opened, or None where ``icv`` does not verify."""
        return self.run(suite, key, integrity_key, head, iv, text, icv, high)

    def run(self, suite, key, integrity_key, bytes head, bytes iv, bytes text, icv, high):
        cdef crypt_t crypt
        cdef job_t job
        cdef bint sealing = icv is None
        cdef bytearray packet = bytearray(head + iv + text) + (bytearray(64) if sealing else bytearray(icv))
        cdef uint8_t* start = packet
        cdef uint32_t size
        cdef uint32_t text_at = <uint32_t>(len(head) + len(iv))
        cipher, integrity = sizes_of(suite.encryption, suite.key_bits, suite.integrity, ah=False)
        size = cipher.icv if integrity is None else integrity.icv
        if len(head) != 8 or len(iv) != cipher.iv or len(text) % cipher.block or (not sealing and len(icv) != size):
            raise ValueError(
                f"a job of '{suite.encryption}' takes 8 bytes of header, {cipher.iv} of IV and {size} of ICV"
            )
        make_crypt((self,), suite, KeyCopy(key), KeyCopy(integrity_key), sealing, high is not None, False, &crypt)
        try:
            job.context = crypt.context
            job.head = start
            job.iv = start + 8
            job.text = start + text_at
            job.length = <uint32_t>len(text)
            job.sequence_high = high or 0
            job.icv = job.text + job.length
            job.ok = False
            crypt.run(&job, 1)
            if not job.ok:
                return None
            opened = bytes(packet[text_at : text_at + len(text)])
            return (opened, bytes(job.icv[:size])) if sealing else opened
        finally:
            crypt.destroy(crypt.context)


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


cdef class KeyCopy:
    """A private copy of key material for as long as a context is made of it; wiped after."""

    def __init__(self, object key):
        cdef Py_buffer buffer
        cdef bytes copy
        if key is None:
            return
        if PyObject_CheckBuffer(key):
            PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
            try:
                self.take(<const uint8_t*>buffer.buf, buffer.len)
            finally:
                PyBuffer_Release(&buffer)
            return
        copy = bytes(key)
        try:
            self.take(<const uint8_t*>PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy))
        finally:
            # Ours alone, made a line ago: nobody else sees it change.
            if Py_REFCNT(copy) == 1 and PyBytes_GET_SIZE(copy) > 1:
                OPENSSL_cleanse(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy))

    cdef int take(self, const uint8_t* data, Py_ssize_t length) except -1:
        if length > <Py_ssize_t>sizeof(self.data):
            raise ValueError(f"key material of {length} bytes: no algorithm takes that much")
        if length:
            memcpy(self.data, data, length)
        self.length = <uint32_t>length
        return 0

    def __dealloc__(self):
        OPENSSL_cleanse(self.data, sizeof(self.data))


cdef int make_crypt(
    tuple providers, object suite, KeyCopy key, KeyCopy integrity_key, bint sealing, bint esn, bint ah, crypt_t* crypt
) except -1:
    """The first provider that has the suite makes the context. Raises :class:`ValueError` for wrong lengths."""
    cdef request_t request
    cdef Provider provider
    cdef int at
    cipher, integrity = sizes_of(suite.encryption, suite.key_bits, suite.integrity, ah=ah)
    bits = 0 if ah else suite.key_bits
    salt = cipher.salt if bits else 0
    if key.length != bits // 8 + salt:
        raise ValueError(
            f"'{suite.encryption}' with {bits} bits takes {bits // 8} bytes of key and {salt} of salt, "
            f"not {key.length} bytes"
        )
    if integrity_key.length != (0 if integrity is None else integrity.key):
        raise ValueError(
            f"'{suite.integrity or suite.encryption}' takes {0 if integrity is None else integrity.key} bytes of "
            f"integrity key, not {integrity_key.length}"
        )
    memset(&request, 0, sizeof(request))
    request.encryption = cipher.number
    request.integrity = 0 if integrity is None else integrity.number
    request.key = key.data
    request.key_length = key.length
    request.integrity_key = integrity_key.data
    request.integrity_key_length = integrity_key.length
    request.sealing = sealing
    request.esn = esn
    request.ah = ah
    for at, provider in enumerate(providers):
        if provider.table.create(provider.state, &request, crypt):
            return at
    names = ", ".join(provider.name for provider in providers)
    wanted = " with ".join(filter(None, (suite.encryption, suite.integrity)))
    raise ValueError(f"no crypto provider in use ({names}) has {wanted}")
