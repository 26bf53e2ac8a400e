"""The provider that is always there: OpenSSL's EVP.

1. At import every algorithm is fetched once (`EVP_CIPHER_fetch` costs more than sealing a packet).
2. `create` sets the key once for an SA and direction.
3. Per packet only the IV changes: `seal_gcm` / `open_gcm`, `seal_aead` / `open_aead` for ChaCha20-Poly1305, `seal_gmac`
   / `open_gmac` where nothing is ciphered (AH too), `seal_mac` / `open_mac` for a cipher or none beside an HMAC (AH too).
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from fastesp.engine.aead cimport *
from fastesp.engine.hints cimport store32
from fastesp.engine.openssl cimport *

cdef struct context_t:
    EVP_CIPHER_CTX* cipher      # NULL: nothing is ciphered
    EVP_MAC_CTX* mac            # NULL: the cipher authenticates
    uint8_t salt[4]
    uint8_t icv_length
    uint8_t esn
    uint8_t ah                  # GMAC: what is covered begins with the outer IP header
    uint8_t counter_mode
    uint8_t turns               # GCM: the IV is turned on, not set anew (see there)
    uint8_t tag[16]
    uint8_t iv[8]               # explicit IV that OpenSSL has in place
    OSSL_PARAM tag_param[2]     # the tag
    OSSL_PARAM turn_param[3]    # tag, and the turn of the IV

cdef EVP_CIPHER* GCM[3]
cdef EVP_CIPHER* CBC[3]
cdef EVP_CIPHER* CTR[3]
cdef EVP_CIPHER* CHACHA
cdef EVP_MAC* HMAC


cdef EVP_CIPHER* fetched(bytes name) except NULL:
    cdef EVP_CIPHER* cipher = EVP_CIPHER_fetch(NULL, name, NULL)
    if cipher == NULL:
        raise ImportError(f"OpenSSL has no {name.decode()}")
    return cipher


for _at, _bits in enumerate((128, 192, 256)):
    GCM[_at] = fetched(b"AES-%d-GCM" % _bits)
    CBC[_at] = fetched(b"AES-%d-CBC" % _bits)
    CTR[_at] = fetched(b"AES-%d-CTR" % _bits)
CHACHA = fetched(b"ChaCha20-Poly1305")
HMAC = EVP_MAC_fetch(NULL, "HMAC", NULL)
if HMAC == NULL:
    raise ImportError("OpenSSL has no HMAC")


# ---- keys, once an SA ------------------------------------------------------------------------------------------


cdef void* open_state() noexcept nogil:
    return NULL


cdef void close_state(void* state) noexcept nogil:
    pass


cdef bint create(void* state, const request_t* request, crypt_t* crypt) noexcept nogil:
    cdef context_t* context = <context_t*>calloc(1, sizeof(context_t))
    cdef bint made
    if context == NULL:
        return False
    context.esn = request.esn
    context.ah = request.ah
    crypt.context = context
    crypt.destroy = destroy
    crypt.lines = 1
    if request.ah and AUTH_AES_128_GMAC <= request.integrity <= AUTH_AES_256_GMAC:
        made = create_gmac(context, request.integrity_key, request.integrity_key_length, request.sealing, crypt)
    elif request.ah or request.integrity != AUTH_NONE:
        made = create_mac(context, request, crypt)
    elif request.encryption == ENCR_NULL_AUTH_AES_GMAC:
        made = create_gmac(context, request.key, request.key_length, request.sealing, crypt)
    else:
        made = create_aead(context, request, crypt)
    if not made:
        destroy(context)
        crypt.context = NULL
    return made


cdef void destroy(void* opaque) noexcept nogil:
    """OpenSSL wipes its own contexts when it frees them."""
    cdef context_t* context = <context_t*>opaque
    EVP_CIPHER_CTX_free(context.cipher)
    EVP_MAC_CTX_free(context.mac)
    OPENSSL_cleanse(context, sizeof(context_t))
    free(context)


cdef bint create_aead(context_t* context, const request_t* request, crypt_t* crypt) noexcept nogil:
    cdef const EVP_CIPHER* cipher = CHACHA
    if request.encryption != ENCR_CHACHA20_POLY1305:
        cipher = gcm_cipher(request.key_length)
    context.icv_length = 16
    if request.encryption == ENCR_AES_GCM_8:
        context.icv_length = 8
    elif request.encryption == ENCR_AES_GCM_12:
        context.icv_length = 12
    elif request.encryption != ENCR_AES_GCM_16 and request.encryption != ENCR_CHACHA20_POLY1305:
        return False
    crypt.run = seal_aead if request.sealing else open_aead
    if not set_key(context, cipher, request.key, request.key_length, request.sealing):
        return False
    if cipher != CHACHA and request.sealing:
        prepare_turns(context, "tlsivgen", crypt, seal_gcm)
    elif cipher != CHACHA:
        prepare_turns(context, "tlsivinv", crypt, open_gcm)
    return True


cdef bint create_gmac(
    context_t* context, const uint8_t* key, uint32_t key_length, bint sealing, crypt_t* crypt
) noexcept nogil:
    """Both directions compute the ICV as the sender does."""
    context.icv_length = 16
    crypt.run = seal_gmac if sealing else open_gmac
    return set_key(context, gcm_cipher(key_length), key, key_length, True)


cdef const EVP_CIPHER* gcm_cipher(uint32_t key_length) noexcept nogil:
    """By the length of a key with its salt; NULL where AES has none such."""
    if key_length != 20 and key_length != 28 and key_length != 36:
        return NULL
    return GCM[(key_length - 4) // 8 - 2]


cdef bint set_key(
    context_t* context, const EVP_CIPHER* cipher, const uint8_t* key, uint32_t key_length, bint encrypting
) noexcept nogil:
    """Cipher, salt, and where the tag is handed over."""
    if cipher == NULL or key_length < 4:
        return False
    memcpy(context.salt, key + key_length - 4, 4)
    context.tag_param[0] = OSSL_PARAM_construct_octet_string("tag", context.tag, context.icv_length)
    context.tag_param[1] = OSSL_PARAM_construct_end()
    context.cipher = EVP_CIPHER_CTX_new()
    return (
        context.cipher != NULL
        and EVP_CipherInit_ex2(context.cipher, cipher, key, NULL, encrypting, NULL) == 1
    )


cdef void prepare_turns(context_t* context, const char* turn, crypt_t* crypt, run_t run) noexcept nogil:
    """Let OpenSSL know the salt. Where it does not want to, the IV is set anew for each packet."""
    cdef OSSL_PARAM fixed[2]
    fixed[0] = OSSL_PARAM_construct_octet_string("tlsivfixed", context.salt, 4)
    fixed[1] = OSSL_PARAM_construct_end()
    if EVP_CIPHER_CTX_set_params(context.cipher, fixed) != 1:
        return
    context.turn_param[0] = context.tag_param[0]
    context.turn_param[1] = OSSL_PARAM_construct_octet_string(turn, context.iv, 8)
    context.turn_param[2] = OSSL_PARAM_construct_end()
    crypt.run = run


cdef bint create_mac(context_t* context, const request_t* request, crypt_t* crypt) noexcept nogil:
    cdef OSSL_PARAM params[2]
    cdef const char* digest
    if request.integrity == AUTH_HMAC_SHA1_96:
        digest = "SHA1"
        context.icv_length = 12
    elif request.integrity == AUTH_HMAC_SHA2_256_128:
        digest = "SHA2-256"
        context.icv_length = 16
    elif request.integrity == AUTH_HMAC_SHA2_384_192:
        digest = "SHA2-384"
        context.icv_length = 24
    elif request.integrity == AUTH_HMAC_SHA2_512_256:
        digest = "SHA2-512"
        context.icv_length = 32
    else:
        return False
    params[0] = OSSL_PARAM_construct_utf8_string("digest", <char*>digest, 0)
    params[1] = OSSL_PARAM_construct_end()
    context.mac = EVP_MAC_CTX_new(HMAC)
    if context.mac == NULL:
        return False
    if EVP_MAC_init(context.mac, request.integrity_key, request.integrity_key_length, params) != 1:
        return False
    crypt.run = seal_mac if request.sealing else open_mac
    if request.ah or request.encryption == ENCR_NULL:
        return True
    return create_cipher(context, request)


cdef bint create_cipher(context_t* context, const request_t* request) noexcept nogil:
    cdef const EVP_CIPHER* cipher
    cdef uint32_t length = request.key_length
    if request.encryption == ENCR_AES_CTR and length > 4:
        length -= 4
        memcpy(context.salt, request.key + length, 4)
        context.counter_mode = 1
    elif request.encryption != ENCR_AES_CBC:
        return False
    if length != 16 and length != 24 and length != 32:
        return False
    cipher = CTR[length // 8 - 2] if context.counter_mode else CBC[length // 8 - 2]
    context.cipher = EVP_CIPHER_CTX_new()
    if context.cipher == NULL:
        return False
    if EVP_CipherInit_ex2(context.cipher, cipher, request.key, NULL, request.sealing, NULL) != 1:
        return False
    return EVP_CIPHER_CTX_set_padding(context.cipher, 0) == 1


# ---- packets: any AEAD -----------------------------------------------------------------------------------------


cdef inline const uint8_t* associated(
    const job_t* job, const context_t* context, uint8_t* room, int* length
) noexcept nogil:
    """SPI and sequence number, where they lie; with ESN all 64 bits of it, put together (RFC 4106 section 5)."""
    if not context.esn:
        length[0] = 8
        return job.head
    memcpy(room, job.head, 4)
    store32(room + 4, job.sequence_high)
    memcpy(room + 8, job.head + 4, 4)
    length[0] = 12
    return room


cdef inline void nonce_of(const job_t* job, const context_t* context, uint8_t* nonce) noexcept nogil:
    memcpy(nonce, context.salt, 4)
    memcpy(nonce + 4, job.iv, 8)


cdef inline void put_icv(uint8_t* icv, const uint8_t* tag, uint32_t length) noexcept nogil:
    """The full length is by far the most frequent, and then no call."""
    if length == 16:
        memcpy(icv, tag, 16)
    else:
        memcpy(icv, tag, length)


cdef void seal_aead(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef context_t* context
    cdef uint8_t nonce[12]
    cdef uint8_t room[12]
    cdef const uint8_t* aad
    cdef int written, length
    for i in range(count):
        job = &jobs[i]
        context = <context_t*>job.context
        nonce_of(job, context, nonce)
        aad = associated(job, context, room, &length)
        job.ok = (
            EVP_EncryptInit_ex2(context.cipher, NULL, NULL, nonce, NULL) == 1
            and EVP_EncryptUpdate(context.cipher, NULL, &written, aad, length) == 1
            and EVP_EncryptUpdate(context.cipher, job.text, &written, job.text, <int>job.length) == 1
            and EVP_EncryptFinal_ex(context.cipher, job.icv, &written) == 1
            and EVP_CIPHER_CTX_get_params(context.cipher, context.tag_param) == 1
        )
        put_icv(job.icv, context.tag, context.icv_length)


cdef void open_aead(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef context_t* context
    cdef uint8_t nonce[12]
    cdef uint8_t room[12]
    cdef const uint8_t* aad
    cdef int written, length
    for i in range(count):
        job = &jobs[i]
        context = <context_t*>job.context
        nonce_of(job, context, nonce)
        aad = associated(job, context, room, &length)
        put_icv(context.tag, job.icv, context.icv_length)
        job.ok = (
            EVP_DecryptInit_ex2(context.cipher, NULL, NULL, nonce, NULL) == 1
            and EVP_CIPHER_CTX_set_params(context.cipher, context.tag_param) == 1
            and EVP_DecryptUpdate(context.cipher, NULL, &written, aad, length) == 1
            and EVP_DecryptUpdate(context.cipher, job.text, &written, job.text, <int>job.length) == 1
            and EVP_DecryptFinal_ex(context.cipher, job.icv, &written) == 1
        )


# ---- packets: GCM ----------------------------------------------------------------------------------------------
#
# Setting an IV through EVP_EncryptInit_ex2 costs a quarter of sealing a small packet. OpenSSL can also count the
# explicit IV on by itself, as TLS has it do (NIST SP 800-38D section 8.2.1): one call then fetches the tag and turns to
# the next IV. Ours counts just so; where the next packet's IV is another one all the same, it is put in place before.
# Nothing is ever sealed with an IV that is not the job's.


cdef inline bint put_iv(context_t* context, const job_t* job) noexcept nogil:
    cdef uint8_t nonce[12]
    cdef OSSL_PARAM whole[2]
    nonce_of(job, context, nonce)
    # A size of -1 says: the whole IV (EVP_CTRL_GCM_SET_IV_FIXED).
    whole[0] = OSSL_PARAM_construct_octet_string("tlsivfixed", nonce, <size_t>-1)
    whole[1] = OSSL_PARAM_construct_end()
    return (
        EVP_CIPHER_CTX_set_params(context.cipher, whole) == 1
        and EVP_CIPHER_CTX_get_params(context.cipher, &context.turn_param[1]) == 1
        and memcmp(context.iv, job.iv, 8) == 0
    )


cdef void seal_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef context_t* context
    cdef uint8_t room[12]
    cdef const uint8_t* aad
    cdef int written, length
    for i in range(count):
        job = &jobs[i]
        context = <context_t*>job.context
        aad = associated(job, context, room, &length)
        job.ok = (
            ((context.turns and memcmp(context.iv, job.iv, 8) == 0) or put_iv(context, job))
            and EVP_EncryptUpdate(context.cipher, NULL, &written, aad, length) == 1
            and EVP_EncryptUpdate(context.cipher, job.text, &written, job.text, <int>job.length) == 1
            and EVP_EncryptFinal_ex(context.cipher, job.icv, &written) == 1
            and EVP_CIPHER_CTX_get_params(context.cipher, context.turn_param) == 1
        )
        context.turns = job.ok
        put_icv(job.icv, context.tag, context.icv_length)


cdef void open_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef context_t* context
    cdef uint8_t room[12]
    cdef const uint8_t* aad
    cdef int written, length
    for i in range(count):
        job = &jobs[i]
        context = <context_t*>job.context
        aad = associated(job, context, room, &length)
        put_icv(context.tag, job.icv, context.icv_length)
        memcpy(context.iv, job.iv, 8)
        job.ok = (
            EVP_CIPHER_CTX_set_params(context.cipher, context.turn_param) == 1
            and EVP_DecryptUpdate(context.cipher, NULL, &written, aad, length) == 1
            and EVP_DecryptUpdate(context.cipher, job.text, &written, job.text, <int>job.length) == 1
            and EVP_DecryptFinal_ex(context.cipher, job.icv, &written) == 1
        )


# ---- packets: GMAC (RFC 4543) ----------------------------------------------------------------------------------


cdef inline bint gmac_data(const job_t* job, context_t* context) noexcept nogil:
    """All is associated data: ESP's SPI, sequence number, IV and text; AH's whole packet, then ESN's upper half."""
    cdef uint8_t room[12]
    cdef int written, length
    cdef const uint8_t* aad
    if context.ah:
        store32(room, job.sequence_high)
        return (
            EVP_EncryptUpdate(context.cipher, NULL, &written, job.head, <int>job.length) == 1
            and (not context.esn or EVP_EncryptUpdate(context.cipher, NULL, &written, room, 4) == 1)
        )
    aad = associated(job, context, room, &length)
    return (
        EVP_EncryptUpdate(context.cipher, NULL, &written, aad, length) == 1
        and EVP_EncryptUpdate(
            context.cipher, NULL, &written, job.iv, <int>(job.text - job.iv) + <int>job.length) == 1
    )


cdef inline bint gmac(const job_t* job, context_t* context) noexcept nogil:
    """The ICV into the context's tag, whichever way the packet goes."""
    cdef uint8_t nonce[12]
    cdef uint8_t nothing[16]
    cdef int written
    nonce_of(job, context, nonce)
    return (
        EVP_EncryptInit_ex2(context.cipher, NULL, NULL, nonce, NULL) == 1
        and gmac_data(job, context)
        and EVP_EncryptFinal_ex(context.cipher, nothing, &written) == 1
        and EVP_CIPHER_CTX_get_params(context.cipher, context.tag_param) == 1
    )


cdef void seal_gmac(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef context_t* context
    for i in range(count):
        context = <context_t*>jobs[i].context
        jobs[i].ok = gmac(&jobs[i], context)
        memcpy(jobs[i].icv, context.tag, context.icv_length)


cdef void open_gmac(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef context_t* context
    for i in range(count):
        context = <context_t*>jobs[i].context
        jobs[i].ok = (
            gmac(&jobs[i], context) and CRYPTO_memcmp(context.tag, jobs[i].icv, context.icv_length) == 0
        )


# ---- packets: a cipher or none, beside an HMAC -----------------------------------------------------------------


cdef inline bint mac_of(const job_t* job, context_t* context, uint8_t* mac) noexcept nogil:
    """From `head` to the end of the text, then ESN's upper half (RFC 4303 section 2.2.1)."""
    cdef uint8_t high[4]
    cdef size_t written
    store32(high, job.sequence_high)
    return (
        EVP_MAC_init(context.mac, NULL, 0, NULL) == 1
        and EVP_MAC_update(context.mac, job.head, <size_t>(job.text - job.head) + job.length) == 1
        and (not context.esn or EVP_MAC_update(context.mac, high, 4) == 1)
        and EVP_MAC_final(context.mac, mac, &written, 64) == 1
    )


cdef inline void initial_block(const job_t* job, const context_t* context, uint8_t* block) noexcept nogil:
    """CBC: the IV. CTR: nonce, IV and a counter that begins with one (RFC 3686 section 4)."""
    if context.counter_mode:
        memcpy(block, context.salt, 4)
        memcpy(block + 4, job.iv, 8)
        store32(block + 12, 1)
    else:
        memcpy(block, job.iv, 16)


cdef inline bint cipher_text(const job_t* job, context_t* context) noexcept nogil:
    """One way or the other, as the context was made; without a cipher there is nothing to do."""
    cdef uint8_t block[16]
    cdef int written
    if context.cipher == NULL:
        return True
    initial_block(job, context, block)
    return (
        EVP_CipherInit_ex2(context.cipher, NULL, NULL, block, -1, NULL) == 1
        and EVP_CipherUpdate(context.cipher, job.text, &written, job.text, <int>job.length) == 1
    )


cdef void seal_mac(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef context_t* context
    cdef uint8_t mac[64]
    for i in range(count):
        context = <context_t*>jobs[i].context
        jobs[i].ok = cipher_text(&jobs[i], context) and mac_of(&jobs[i], context, mac)
        memcpy(jobs[i].icv, mac, context.icv_length)


cdef void open_mac(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef context_t* context
    cdef uint8_t mac[64]
    for i in range(count):
        context = <context_t*>jobs[i].context
        jobs[i].ok = (
            mac_of(&jobs[i], context, mac)
            and CRYPTO_memcmp(mac, jobs[i].icv, context.icv_length) == 0
            and cipher_text(&jobs[i], context)
        )


cdef provider_t provider
provider.open = open_state
provider.close = close_state
provider.create = create

VERSION = (<bytes>OpenSSL_version(OPENSSL_VERSION)).decode().split()[1]
TABLE = PyCapsule_New(&provider, "fastesp.engine.provider", NULL)
