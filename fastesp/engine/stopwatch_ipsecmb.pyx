"""ipsec-mb's AEADs with nothing around them: the library's functions called directly, once a packet."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from fastesp.engine.ipsecmb cimport *
from fastesp.engine.openssl cimport CRYPTO_memcmp
from fastesp.engine.stopwatch cimport Primitive, lane_t

cdef enum:
    ESP_HEADER = 8


cdef class ImbPrimitive(Primitive):
    """A manager for this processor, and a key (without its salt, the last four bytes) expanded for AES-GCM."""

    cdef IMB_MGR* manager
    cdef gcm_key_data* expanded
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
        else:
            self.manager.gcm128_pre(<const uint8_t*>key, self.expanded)
        memcpy(self.nonce, <const uint8_t*>key + len(key) - 4, 4)
        self.iv_length = 8
        self.icv_length = 16
        self.align = 4

    def __dealloc__(self):
        if self.manager != NULL:
            free_mb_mgr(self.manager)
        free(self.expanded)


cdef class ImbGcm(ImbPrimitive):
    """AES-GCM with a key of 128 or 256 bits; ``key`` ends with the salt."""

    cdef aes_gcm_enc_dec_t sealing
    cdef aes_gcm_enc_dec_t opening

    def __cinit__(self, bytes key):
        self.name = f"ipsec-mb AES-{(len(key) - 4) * 8}-GCM"
        self.sealing, self.opening = self.manager.gcm128_enc, self.manager.gcm128_dec
        if len(key) == 36:
            self.sealing, self.opening = self.manager.gcm256_enc, self.manager.gcm256_dec

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


cdef class ImbGmac(ImbPrimitive):
    """AES-GMAC with a key of 128 or 256 bits: all of a packet is associated data, both ways alike."""

    cdef aes_gmac_init_t init
    cdef aes_gmac_update_t update
    cdef aes_gmac_finalize_t finalize

    def __cinit__(self, bytes key):
        self.name = f"ipsec-mb AES-{(len(key) - 4) * 8}-GMAC"
        self.init, self.update = self.manager.gmac128_init, self.manager.gmac128_update
        self.finalize = self.manager.gmac128_finalize
        if len(key) == 36:
            self.init, self.update = self.manager.gmac256_init, self.manager.gmac256_update
            self.finalize = self.manager.gmac256_finalize

    cdef inline void authenticate(self, const uint8_t* head, uint32_t length, uint8_t* tag) noexcept nogil:
        cdef gcm_context_data scratch
        memcpy(self.nonce + 4, head + ESP_HEADER, 8)
        self.init(self.expanded, &scratch, self.nonce, 12)
        self.update(self.expanded, &scratch, head, length)
        self.finalize(self.expanded, &scratch, tag, 16)

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t covered = ESP_HEADER + 8 + lane.length
        cdef uint8_t* head
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            self.authenticate(head, covered, head + covered)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef uint32_t covered = ESP_HEADER + 8 + lane.length
        cdef uint8_t tag[16]
        cdef uint8_t* head
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            self.authenticate(head, covered, tag)
            authentic += CRYPTO_memcmp(tag, head + covered, 16) == 0
        return authentic


cdef class ImbChacha(ImbPrimitive):
    """ChaCha20-Poly1305; ``key`` ends with the salt."""

    cdef uint8_t key[32]

    def __cinit__(self, bytes key):
        if len(key) != 36:
            raise ValueError(f"a key of 32 bytes and a salt of 4, not {len(key)} bytes")
        memcpy(self.key, <const uint8_t*>key, 32)
        self.name = "ipsec-mb ChaCha20-Poly1305"

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef chacha20_poly1305_context_data scratch
        cdef uint32_t i
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            self.manager.chacha20_poly1305_init(self.key, &scratch, self.nonce, head, ESP_HEADER)
            self.manager.chacha20_poly1305_enc_update(self.key, &scratch, text, text, lane.length)
            self.manager.chacha20_poly1305_finalize(&scratch, text + lane.length, 16)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef chacha20_poly1305_context_data scratch
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef uint8_t tag[16]
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            self.manager.chacha20_poly1305_init(self.key, &scratch, self.nonce, head, ESP_HEADER)
            self.manager.chacha20_poly1305_dec_update(self.key, &scratch, text, text, lane.length)
            self.manager.chacha20_poly1305_finalize(&scratch, tag, 16)
            authentic += CRYPTO_memcmp(tag, text + lane.length, 16) == 0
        return authentic
