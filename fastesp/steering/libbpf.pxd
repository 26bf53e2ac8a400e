"""The few calls of libbpf that steering needs (libbpf 1.0 and later)."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "<bpf/libbpf.h>" nogil:
    cdef struct bpf_object:
        pass
    cdef struct bpf_program:
        pass
    cdef struct bpf_map:
        pass
    cdef struct bpf_xdp_attach_opts:
        size_t sz
        int old_prog_fd
    void* libbpf_set_print(void* function)
    int libbpf_num_possible_cpus()
    bpf_object* bpf_object__open_file "bpf_object__open_file"(const char* path, const void* options)
    int bpf_object__load(bpf_object* obj)
    void bpf_object__close(bpf_object* obj)
    bpf_program* bpf_object__find_program_by_name(const bpf_object* obj, const char* name)
    bpf_map* bpf_object__find_map_by_name(const bpf_object* obj, const char* name)
    int bpf_program__fd(const bpf_program* prog)
    int bpf_map__fd(const bpf_map* map)
    int bpf_xdp_attach(int ifindex, int prog_fd, uint32_t flags, const void* options)
    int bpf_xdp_detach(int ifindex, uint32_t flags, const bpf_xdp_attach_opts* options)

cdef extern from "<bpf/bpf.h>" nogil:
    cdef struct bpf_test_run_opts:
        size_t sz
        const void* data_in
        uint32_t data_size_in
        void* data_out
        uint32_t data_size_out
        uint32_t retval
        int repeat

    int bpf_map_update_elem(int fd, const void* key, const void* value, uint64_t flags)
    int bpf_map_delete_elem(int fd, const void* key)
    int bpf_map_lookup_elem(int fd, const void* key, void* value)
    int bpf_prog_test_run_opts(int prog_fd, bpf_test_run_opts* opts)

cdef extern from "<linux/if_link.h>" nogil:
    enum:
        XDP_FLAGS_UPDATE_IF_NOEXIST
        XDP_FLAGS_SKB_MODE
        XDP_FLAGS_DRV_MODE

cdef extern from "steer.h" nogil:
    enum:
        STEER_BUCKETS
        STEER_BUCKET_SHIFT
        STEER_OWNERS
        STEER_QUEUES
        STEER_REASONS
