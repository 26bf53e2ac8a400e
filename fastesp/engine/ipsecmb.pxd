"""Declarations of ipsec-mb that the engine and its stopwatch use."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** memory, size_t alignment, size_t size) noexcept

cdef extern from "intel-ipsec-mb.h" nogil:
    struct gcm_key_data:
        pass
    struct gcm_context_data:
        pass
    struct chacha20_poly1305_context_data:
        pass
    ctypedef void (*aes_gcm_enc_dec_t)(
        const gcm_key_data* key, gcm_context_data* context, uint8_t* out, const uint8_t* data, uint64_t length,
        const uint8_t* iv, const uint8_t* aad, uint64_t aad_length, uint8_t* tag, uint64_t tag_length) noexcept
    ctypedef void (*aes_gcm_pre_t)(const void* key, gcm_key_data* expanded) noexcept
    ctypedef void (*aes_gmac_init_t)(
        const gcm_key_data* key, gcm_context_data* context, const uint8_t* iv, uint64_t iv_length) noexcept
    ctypedef void (*aes_gmac_update_t)(
        const gcm_key_data* key, gcm_context_data* context, const uint8_t* data, uint64_t length) noexcept
    ctypedef void (*aes_gmac_finalize_t)(
        const gcm_key_data* key, gcm_context_data* context, uint8_t* tag, uint64_t tag_length) noexcept
    ctypedef void (*chacha_poly_init_t)(
        const void* key, chacha20_poly1305_context_data* context, const void* iv, const void* aad,
        uint64_t aad_length) noexcept
    ctypedef void (*chacha_poly_enc_dec_update_t)(
        const void* key, chacha20_poly1305_context_data* context, void* out, const void* data,
        uint64_t length) noexcept
    ctypedef void (*chacha_poly_finalize_t)(
        chacha20_poly1305_context_data* context, void* tag, uint64_t tag_length) noexcept
    ctypedef struct IMB_MGR:
        uint64_t features
        aes_gcm_enc_dec_t gcm128_enc
        aes_gcm_enc_dec_t gcm192_enc
        aes_gcm_enc_dec_t gcm256_enc
        aes_gcm_enc_dec_t gcm128_dec
        aes_gcm_enc_dec_t gcm192_dec
        aes_gcm_enc_dec_t gcm256_dec
        aes_gcm_pre_t gcm128_pre
        aes_gcm_pre_t gcm192_pre
        aes_gcm_pre_t gcm256_pre
        aes_gmac_init_t gmac128_init
        aes_gmac_init_t gmac192_init
        aes_gmac_init_t gmac256_init
        aes_gmac_update_t gmac128_update
        aes_gmac_update_t gmac192_update
        aes_gmac_update_t gmac256_update
        aes_gmac_finalize_t gmac128_finalize
        aes_gmac_finalize_t gmac192_finalize
        aes_gmac_finalize_t gmac256_finalize
        chacha_poly_init_t chacha20_poly1305_init
        chacha_poly_enc_dec_update_t chacha20_poly1305_enc_update
        chacha_poly_enc_dec_update_t chacha20_poly1305_dec_update
        chacha_poly_finalize_t chacha20_poly1305_finalize
    ctypedef enum IMB_ARCH:
        IMB_ARCH_NONE
        IMB_ARCH_SSE
        IMB_ARCH_AVX
        IMB_ARCH_AVX2
        IMB_ARCH_AVX512
    IMB_MGR* alloc_mb_mgr(uint64_t flags) noexcept
    void free_mb_mgr(IMB_MGR* manager) noexcept
    void init_mb_mgr_auto(IMB_MGR* manager, IMB_ARCH* chosen) noexcept
    int imb_get_errno(IMB_MGR* manager) noexcept
    const char* imb_get_strerror(int number) noexcept
    const char* imb_get_version_str() noexcept
    uint64_t IMB_FEATURE_AESNI
    uint64_t IMB_FEATURE_PCLMULQDQ
