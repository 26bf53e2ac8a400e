"""The engine beside the raw primitive, timed in C on the same packets in memory.

For benchmarks; no packet of a gateway comes here.

1. `Track` lays out packets of one size at equal distances, and lays them out anew before each batch, untimed.
2. `encapsulate` / `decapsulate` time one call of the engine a batch: all that it does.
3. `seal` / `open` time a :class:`Primitive` over the very same bytes: what no engine can do without.

One sample is one batch: nanoseconds a packet. A neighbour on the processor spoils a few samples, not their median.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from fastesp.engine.aead cimport ICV_MAX
from fastesp.engine.batch cimport BATCH_MAX, HEADROOM, NO_SLOT, TAILROOM, batch_over, packet_t
from fastesp.engine.esp cimport Engine
from fastesp.engine.hints cimport store32, store64
from fastesp.engine.openssl cimport *

import numpy as np

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** memory, size_t alignment, size_t size) noexcept

cdef extern from "time.h" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* value) noexcept
    int CLOCK_MONOTONIC

cdef enum:
    ESP_HEADER = 8
    TRAILER = 2
    HEAD = 64               # bytes of an inner packet that differ from flow to flow
    MAC_ROOM = 64


# One counter for all tracks: an SA that several of them use sees it only go forwards.
cdef uint32_t sequence = 0


cdef inline uint64_t clock() noexcept nogil:
    cdef timespec value
    clock_gettime(CLOCK_MONOTONIC, &value)
    return <uint64_t>value.tv_sec * 1000000000 + <uint64_t>value.tv_nsec


cdef class Track:
    """``count`` packets of ``size`` bytes (at most a batch), in memory of their own.

    ``heads`` holds the first 64 bytes of inner packets, ``spis`` inbound SPIs: they go round, batch after batch, so a
    working set may be larger than a batch.
    """

    def __cinit__(self, uint32_t count, uint32_t size, heads, spis=(1,)):
        cdef const uint8_t[:, ::1] rows
        cdef const uint32_t[::1] numbers
        cdef size_t bytes
        if not 0 < count <= BATCH_MAX or size < HEAD:
            raise ValueError(f"{count} packets of {size} bytes: 1 to {BATCH_MAX}, of at least {HEAD}")
        self.count = count
        self.size = size
        self.stride = (HEADROOM + size + TAILROOM + 63) & ~<uint32_t>63
        bytes = <size_t>self.stride * count
        if posix_memalign(<void**>&self.region, 4096, bytes) != 0:
            raise MemoryError(f"no memory for {count} packets of {size} bytes")
        memset(self.region, 0xa5, bytes)
        self.batch = batch_over(self.region, bytes, count, None)
        self._heads = np.ascontiguousarray(heads, np.uint8).reshape(-1, HEAD)
        self._spis = np.ascontiguousarray(spis, np.uint32)
        rows, numbers = self._heads, self._spis
        self.head_count, self.spi_count = <uint32_t>rows.shape[0], <uint32_t>numbers.shape[0]
        self.heads, self.spis = &rows[0, 0], &numbers[0]

    def __dealloc__(self):
        free(self.region)

    # ---- the engine ----------------------------------------------------------------------------------------------

    def encapsulate(self, Engine engine not None, uint32_t batches):
        """Nanoseconds a packet of each batch through :meth:`Engine.encapsulate`. Raises where a packet stays behind."""
        cdef double[::1] samples = np.zeros(batches)
        cdef uint64_t passed = 0
        cdef uint64_t begin
        cdef uint32_t at
        with nogil:
            for at in range(batches):
                self.lay_plain()
                begin = clock()
                passed += engine.encapsulate(self.batch, begin)
                samples[at] = <double>(clock() - begin) / self.count
        self._all_went(passed, batches)
        return np.asarray(samples)

    def decapsulate(self, Engine engine not None, Primitive primitive not None, uint32_t batches):
        """The same through :meth:`Engine.decapsulate`, of packets that ``primitive`` has sealed."""
        cdef double[::1] samples = np.zeros(batches)
        cdef lane_t lane = self.lane_of(primitive)
        cdef uint64_t passed = 0
        cdef uint64_t begin
        cdef uint32_t at
        with nogil:
            for at in range(batches):
                self.lay_sealed(primitive, &lane)
                begin = clock()
                passed += engine.decapsulate(self.batch, begin)
                samples[at] = <double>(clock() - begin) / self.count
        self._all_went(passed, batches)
        return np.asarray(samples)

    def _all_went(self, uint64_t passed, uint32_t batches):
        verdicts = sorted(set(self.batch.view["verdict"].tolist()))
        if passed != <uint64_t>batches * self.count:
            raise ValueError(f"{passed} of {batches * self.count} packets went on; verdicts at the end: {verdicts}")

    # ---- the primitive alone ---------------------------------------------------------------------------------------

    def seal(self, Primitive primitive not None, uint32_t batches):
        """Nanoseconds a packet of each batch through ``primitive`` alone."""
        cdef double[::1] samples = np.zeros(batches)
        cdef lane_t lane = self.lane_of(primitive)
        cdef uint64_t begin
        cdef uint32_t at
        with nogil:
            for at in range(batches):
                self.lay_framed(&lane)
                begin = clock()
                primitive.seal(&lane)
                samples[at] = <double>(clock() - begin) / self.count
        return np.asarray(samples)

    def open(self, Primitive primitive not None, uint32_t batches):
        """The same backwards. Raises where a packet is not authentic."""
        cdef double[::1] samples = np.zeros(batches)
        cdef lane_t lane = self.lane_of(primitive)
        cdef uint64_t passed = 0
        cdef uint64_t begin
        cdef uint32_t at
        with nogil:
            for at in range(batches):
                self.lay_sealed(primitive, &lane)
                begin = clock()
                passed += primitive.open(&lane)
                samples[at] = <double>(clock() - begin) / self.count
        self._all_went(passed, batches)
        return np.asarray(samples)

    # ---- laying out, untimed ---------------------------------------------------------------------------------------

    cdef void lay_plain(self) noexcept nogil:
        """Inner packets, as a TUN would hand them over."""
        cdef uint32_t i
        cdef packet_t* p
        for i in range(self.count):
            p = &self.batch.packets[i]
            memset(p, 0, sizeof(packet_t))
            p.offset = i * self.stride + HEADROOM
            p.length = self.size
            p.sa = NO_SLOT
            p.policy = NO_SLOT
            memcpy(self.region + p.offset, self.heads + <size_t>(self.turn % self.head_count) * HEAD, HEAD)
            self.turn += 1
        self.batch.count = self.count

    cdef lane_t lane_of(self, Primitive primitive) noexcept nogil:
        cdef lane_t lane
        cdef uint32_t pad = (0 - (self.size + TRAILER)) & (primitive.align - 1)
        lane.first = self.region + HEADROOM - ESP_HEADER - primitive.iv_length
        lane.stride = self.stride
        lane.count = self.count
        lane.iv_length = primitive.iv_length
        lane.length = self.size + pad + TRAILER
        return lane

    cdef void lay_framed(self, const lane_t* lane) noexcept nogil:
        """Inner packets with ESP header, IV, padding and trailer: all that the primitive's caller has to prepare."""
        global sequence
        cdef uint32_t i, at
        cdef uint32_t pad = lane.length - self.size - TRAILER
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + lane.iv_length
            sequence += 1
            store32(head, self.spis[self.turn % self.spi_count])
            store32(head + 4, sequence)
            memset(head + ESP_HEADER, 0, lane.iv_length)
            if lane.iv_length >= 8:
                store64(head + ESP_HEADER, sequence)
            memcpy(text, self.heads + <size_t>(self.turn % self.head_count) * HEAD, HEAD)
            for at in range(pad):
                text[self.size + at] = <uint8_t>(at + 1)
            text[lane.length - 2] = <uint8_t>pad
            text[lane.length - 1] = 4 if text[0] >> 4 == 4 else 41
            self.turn += 1

    cdef void lay_sealed(self, Primitive primitive, const lane_t* lane) noexcept nogil:
        """Fresh ESP packets, each with a sequence number of its own."""
        cdef uint32_t i
        cdef packet_t* p
        self.lay_framed(lane)
        primitive.seal(lane)
        for i in range(self.count):
            p = &self.batch.packets[i]
            memset(p, 0, sizeof(packet_t))
            p.offset = <uint32_t>(lane.first - self.region) + i * lane.stride
            p.length = ESP_HEADER + lane.iv_length + lane.length + primitive.icv_length
            p.sa = NO_SLOT
            p.policy = NO_SLOT
        self.batch.count = self.count


# ---- OpenSSL's EVP -------------------------------------------------------------------------------------------------


cdef class Primitive:
    cdef void seal(self, const lane_t* lane) noexcept nogil:
        pass

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        return 0


cdef class EvpAead(Primitive):
    """An AEAD (``AES-256-GCM``, ``ChaCha20-Poly1305``): only the IV is set for a packet. ``key`` ends with the salt."""

    cdef EVP_CIPHER_CTX* sealing
    cdef EVP_CIPHER_CTX* opening
    cdef uint8_t nonce[12]
    cdef uint8_t tag[16]
    cdef OSSL_PARAM tag_param[2]

    def __cinit__(self, str cipher, bytes key):
        cdef EVP_CIPHER* fetched = EVP_CIPHER_fetch(NULL, cipher.encode(), NULL)
        self.name = f"OpenSSL {cipher}"
        self.iv_length = 8
        self.icv_length = 16
        self.align = 4
        self.sealing = EVP_CIPHER_CTX_new()
        self.opening = EVP_CIPHER_CTX_new()
        if fetched == NULL or self.sealing == NULL or self.opening == NULL:
            raise ValueError(f"OpenSSL has no {cipher}")
        if (
            EVP_CipherInit_ex2(self.sealing, fetched, key, NULL, 1, NULL) != 1
            or EVP_CipherInit_ex2(self.opening, fetched, key, NULL, 0, NULL) != 1
        ):
            raise ValueError(f"OpenSSL refuses the key for {cipher}")
        memcpy(self.nonce, <const unsigned char*>key + len(key) - 4, 4)
        self.tag_param[0] = OSSL_PARAM_construct_octet_string("tag", self.tag, 16)
        self.tag_param[1] = OSSL_PARAM_construct_end()

    def __dealloc__(self):
        EVP_CIPHER_CTX_free(self.sealing)
        EVP_CIPHER_CTX_free(self.opening)

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef int written
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            EVP_EncryptInit_ex2(self.sealing, NULL, NULL, self.nonce, NULL)
            EVP_EncryptUpdate(self.sealing, NULL, &written, head, ESP_HEADER)
            EVP_EncryptUpdate(self.sealing, text, &written, text, <int>lane.length)
            EVP_EncryptFinal_ex(self.sealing, text + lane.length, &written)
            EVP_CIPHER_CTX_get_params(self.sealing, self.tag_param)
            memcpy(text + lane.length, self.tag, 16)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef int written
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + 8
            memcpy(self.nonce + 4, head + ESP_HEADER, 8)
            memcpy(self.tag, text + lane.length, 16)
            EVP_DecryptInit_ex2(self.opening, NULL, NULL, self.nonce, NULL)
            EVP_CIPHER_CTX_set_params(self.opening, self.tag_param)
            EVP_DecryptUpdate(self.opening, NULL, &written, head, ESP_HEADER)
            EVP_DecryptUpdate(self.opening, text, &written, text, <int>lane.length)
            authentic += EVP_DecryptFinal_ex(self.opening, text + lane.length, &written) == 1
        return authentic


cdef class EvpGmac(Primitive):
    """AES-GMAC with the cipher named (``AES-256-GCM``): all of a packet is associated data, both ways alike."""

    cdef EVP_CIPHER_CTX* cipher
    cdef uint8_t nonce[12]
    cdef uint8_t tag[16]
    cdef OSSL_PARAM tag_param[2]

    def __cinit__(self, str cipher, bytes key):
        self.name = f"OpenSSL {cipher.replace('GCM', 'GMAC')}"
        self.iv_length = 8
        self.icv_length = 16
        self.align = 4
        self.cipher = evp_cipher(cipher, key, True)
        memcpy(self.nonce, <const unsigned char*>key + len(key) - 4, 4)
        self.tag_param[0] = OSSL_PARAM_construct_octet_string("tag", self.tag, 16)
        self.tag_param[1] = OSSL_PARAM_construct_end()

    def __dealloc__(self):
        EVP_CIPHER_CTX_free(self.cipher)

    cdef inline void authenticate(self, const uint8_t* head, uint32_t length) noexcept nogil:
        cdef int written
        cdef uint8_t nothing[16]
        memcpy(self.nonce + 4, head + ESP_HEADER, 8)
        EVP_EncryptInit_ex2(self.cipher, NULL, NULL, self.nonce, NULL)
        EVP_EncryptUpdate(self.cipher, NULL, &written, head, <int>length)
        EVP_EncryptFinal_ex(self.cipher, nothing, &written)
        EVP_CIPHER_CTX_get_params(self.cipher, self.tag_param)

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t covered = ESP_HEADER + 8 + lane.length
        cdef uint8_t* head
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            self.authenticate(head, covered)
            memcpy(head + covered, self.tag, 16)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef uint32_t covered = ESP_HEADER + 8 + lane.length
        cdef uint8_t* head
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            self.authenticate(head, covered)
            authentic += CRYPTO_memcmp(self.tag, head + covered, 16) == 0
        return authentic


cdef class EvpMac(Primitive):
    """A cipher (``AES-256-CBC``, ``AES-256-CTR``; none: ``""``) and an HMAC: IV and HMAC are set anew for a packet."""

    cdef EVP_CIPHER_CTX* sealing
    cdef EVP_CIPHER_CTX* opening
    cdef EVP_MAC_CTX* mac
    cdef uint8_t salt[4]
    cdef bint counter_mode

    def __cinit__(self, str cipher, bytes key, str digest, bytes mac_key, uint32_t icv_length):
        cdef OSSL_PARAM params[2]
        cdef bytes digest_name = digest.encode()
        cdef EVP_MAC* fetched = EVP_MAC_fetch(NULL, "HMAC", NULL)
        self.name = f"OpenSSL {cipher or 'NULL'} and HMAC-{digest}"
        self.counter_mode = cipher.endswith("CTR")
        self.iv_length = 0 if not cipher else 8 if self.counter_mode else 16
        self.icv_length = icv_length
        self.align = 16 if cipher.endswith("CBC") else 4
        if self.counter_mode:
            memcpy(self.salt, <const unsigned char*>key + len(key) - 4, 4)
        params[0] = OSSL_PARAM_construct_utf8_string("digest", <char*>digest_name, 0)
        params[1] = OSSL_PARAM_construct_end()
        self.mac = EVP_MAC_CTX_new(fetched)
        if self.mac == NULL or EVP_MAC_init(self.mac, mac_key, len(mac_key), params) != 1:
            raise ValueError(f"OpenSSL has no HMAC with {digest}")
        if cipher:
            self.sealing = evp_cipher(cipher, key, True)
            self.opening = evp_cipher(cipher, key, False)

    def __dealloc__(self):
        EVP_CIPHER_CTX_free(self.sealing)
        EVP_CIPHER_CTX_free(self.opening)
        EVP_MAC_CTX_free(self.mac)

    cdef inline void set_block(self, const uint8_t* iv, uint8_t* block) noexcept nogil:
        if self.counter_mode:
            memcpy(block, self.salt, 4)
            memcpy(block + 4, iv, 8)
            store32(block + 12, 1)
        else:
            memcpy(block, iv, 16)

    cdef inline void authenticate(self, const uint8_t* head, size_t length, uint8_t* mac) noexcept nogil:
        cdef size_t written
        EVP_MAC_init(self.mac, NULL, 0, NULL)
        EVP_MAC_update(self.mac, head, length)
        EVP_MAC_final(self.mac, mac, &written, MAC_ROOM)

    cdef void seal(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef int written
        cdef uint8_t block[16]
        cdef uint8_t mac[MAC_ROOM]
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + lane.iv_length
            if self.sealing != NULL:
                self.set_block(head + ESP_HEADER, block)
                EVP_EncryptInit_ex2(self.sealing, NULL, NULL, block, NULL)
                EVP_EncryptUpdate(self.sealing, text, &written, text, <int>lane.length)
            self.authenticate(head, ESP_HEADER + lane.iv_length + lane.length, mac)
            memcpy(text + lane.length, mac, self.icv_length)

    cdef uint32_t open(self, const lane_t* lane) noexcept nogil:
        cdef uint32_t i
        cdef uint32_t authentic = 0
        cdef int written
        cdef uint8_t block[16]
        cdef uint8_t mac[MAC_ROOM]
        cdef uint8_t* head
        cdef uint8_t* text
        for i in range(lane.count):
            head = lane.first + <size_t>i * lane.stride
            text = head + ESP_HEADER + lane.iv_length
            self.authenticate(head, ESP_HEADER + lane.iv_length + lane.length, mac)
            authentic += CRYPTO_memcmp(mac, text + lane.length, self.icv_length) == 0
            if self.opening != NULL:
                self.set_block(head + ESP_HEADER, block)
                EVP_DecryptInit_ex2(self.opening, NULL, NULL, block, NULL)
                EVP_DecryptUpdate(self.opening, text, &written, text, <int>lane.length)
        return authentic


cdef EVP_CIPHER_CTX* evp_cipher(str name, bytes key, bint sealing) except NULL:
    cdef EVP_CIPHER* fetched = EVP_CIPHER_fetch(NULL, name.encode(), NULL)
    cdef EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new()
    if fetched == NULL or context == NULL:
        raise ValueError(f"OpenSSL has no {name}")
    if EVP_CipherInit_ex2(context, fetched, key, NULL, sealing, NULL) != 1:
        EVP_CIPHER_CTX_free(context)
        raise ValueError(f"OpenSSL refuses the key for {name}")
    EVP_CIPHER_CTX_set_padding(context, 0)
    return context
