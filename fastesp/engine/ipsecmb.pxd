"""Declarations of ipsec-mb that the engine and its stopwatch use."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** memory, size_t alignment, size_t size) noexcept

cdef extern from "intel-ipsec-mb.h" nogil:
    struct gcm_key_data:
        pass
    struct gcm_context_data:
        pass
    ctypedef void (*aes_gcm_enc_dec_t)(
        const gcm_key_data* key, gcm_context_data* context, uint8_t* out, const uint8_t* data, uint64_t length,
        const uint8_t* iv, const uint8_t* aad, uint64_t aad_length, uint8_t* tag, uint64_t tag_length) noexcept
    ctypedef void (*aes_gcm_pre_t)(const void* key, gcm_key_data* expanded) noexcept
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
