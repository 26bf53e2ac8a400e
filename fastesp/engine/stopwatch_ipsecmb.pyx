"""ipsec-mb's AES-GCM with nothing around it: the library's function called directly, once a packet."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from fastesp.engine.ipsecmb cimport *
from fastesp.engine.openssl cimport CRYPTO_memcmp
from fastesp.engine.stopwatch cimport Primitive, lane_t

cdef enum:
    ESP_HEADER = 8


cdef class ImbGcm(Primitive):
    """AES-GCM with a key of 128 or 256 bits; ``key`` ends with the salt."""

    cdef IMB_MGR* manager
    cdef gcm_key_data* expanded
    cdef aes_gcm_enc_dec_t sealing
    cdef aes_gcm_enc_dec_t opening
    cdef uint8_t nonce[16]

    def __cinit__(self, bytes key):
        cdef IMB_ARCH chosen
        if len(key) not in (20, 36):
            raise ValueError(f"a key of 16 or 32 bytes and a salt of 4, not {len(key)} bytes")
        self.manager = alloc_mb_mgr(0)
        if self.manager == NULL or posix_memalign(<void**>&self.expanded, 64, sizeof(gcm_key_data)) != 0:
            raise MemoryError("no memory for ipsec-mb's manager and key")
        init_mb_mgr_auto(self.manager, &chosen)
        if len(key) == 36:
            self.manager.gcm256_pre(<const uint8_t*>key, self.expanded)
            self.sealing, self.opening = self.manager.gcm256_enc, self.manager.gcm256_dec
        else:
            self.manager.gcm128_pre(<const uint8_t*>key, self.expanded)
            self.sealing, self.opening = self.manager.gcm128_enc, self.manager.gcm128_dec
        memcpy(self.nonce, <const uint8_t*>key + len(key) - 4, 4)
        self.name = f"ipsec-mb AES-{(len(key) - 4) * 8}-GCM"
        self.iv_length = 8
        self.icv_length = 16
        self.align = 4

    def __dealloc__(self):
        if self.manager != NULL:
            free_mb_mgr(self.manager)
        free(self.expanded)

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef gcm_context_data scratch
        cdef uint32_t i
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            self.sealing(
                self.expanded, &scratch, text, text, lane.length, self.nonce, head, ESP_HEADER, text + lane.length, 16)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef gcm_context_data scratch
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef uint8_t tag[16]
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            self.opening(self.expanded, &scratch, text, text, lane.length, self.nonce, head, ESP_HEADER, tag, 16)
            authentic += CRYPTO_memcmp(tag, text + lane.length, 16) == 0
        return authentic
