"""What a provider of algorithms is to the engine: one C table, and one small struct an SA.

A provider turns a suite and its keys into a `crypt_t`; from then on the engine knows only a function that takes
jobs. Neighbouring jobs with the same function go in one call, so a provider is free to work on many at once.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # IANA's IKEv2 transform numbers: types 1 (encryption) and 3 (integrity).
    ENCR_NULL = 11
    ENCR_AES_CBC = 12
    ENCR_AES_CTR = 13
    ENCR_AES_GCM_8 = 18
    ENCR_AES_GCM_12 = 19
    ENCR_AES_GCM_16 = 20
    ENCR_NULL_AUTH_AES_GMAC = 21
    ENCR_CHACHA20_POLY1305 = 28

    AUTH_NONE = 0
    AUTH_HMAC_SHA1_96 = 2
    AUTH_AES_128_GMAC = 9
    AUTH_AES_192_GMAC = 10
    AUTH_AES_256_GMAC = 11
    AUTH_HMAC_SHA2_256_128 = 12
    AUTH_HMAC_SHA2_384_192 = 13
    AUTH_HMAC_SHA2_512_256 = 14

cdef enum:
    ICV_MAX = 32

cdef struct job_t:
    void* context           # of the SA, as the provider made it
    uint8_t* head           # first authenticated byte: SPI and sequence number (AH: the outer IP header)
    uint8_t* iv             # the explicit IV, within the packet
    uint8_t* text           # what is ciphered, in place; authenticated from `head` to the end of it
    uint32_t length         # bytes of text
    uint32_t sequence_high  # ESN's upper half: authenticated, not sent
    uint8_t* icv            # seal: where it goes. open: where it lies
    int32_t ok              # set by the provider: sealed, or authentic

ctypedef void (*run_t)(job_t* jobs, uint32_t count) noexcept nogil
ctypedef void (*destroy_t)(void* context) noexcept nogil

cdef struct crypt_t:
    run_t run
    void* context
    destroy_t destroy       # wipes and frees the context
    uint32_t lines          # cache lines of it that are worth fetching ahead

cdef struct request_t:
    uint16_t encryption     # ENCR_*
    uint16_t integrity      # AUTH_*
    const uint8_t* key      # cipher key with its salt behind it
    uint32_t key_length
    const uint8_t* integrity_key    # AES-GMAC (AH): with its salt behind it
    uint32_t integrity_key_length
    bint sealing
    bint esn
    bint ah                 # no cipher: the ICV covers the job from `head` on, as RFC 4302 wants it

cdef struct provider_t:
    void* (*open)() noexcept nogil              # what one worker needs for itself; NULL where nothing is needed
    void (*close)(void* state) noexcept nogil
    # False: not a suite of this provider, or the library refused. Safe beside a worker that runs jobs on `state`.
    bint (*create)(void* state, const request_t* request, crypt_t* crypt) noexcept nogil
