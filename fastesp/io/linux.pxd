"""Declarations of what Linux and the C library offer: sockets, TUN, epoll, eventfd, atomics. Extern only, no GIL."""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

    ssize_t readv(int fd, const iovec* iov, int count)
    ssize_t writev(int fd, const iovec* iov, int count)


cdef extern from "<unistd.h>" nogil:
    ssize_t read(int fd, void* buffer, size_t size)
    ssize_t write(int fd, const void* buffer, size_t size)
    int close(int fd)


cdef extern from "<sys/socket.h>" nogil:
    ctypedef uint32_t socklen_t

    struct sockaddr:
        pass

    struct sockaddr_storage:
        uint16_t ss_family

    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags

    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type

    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* previous)
    uint8_t* CMSG_DATA(cmsghdr* header)
    size_t CMSG_LEN(size_t length)
    size_t CMSG_SPACE(size_t length)

    int setsockopt(int fd, int level, int name, const void* value, socklen_t length)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)

    int AF_INET
    int AF_INET6
    int SOL_SOCKET
    int MSG_DONTWAIT
    int MSG_TRUNC
    int MSG_CTRUNC


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr

    struct in6_addr:
        uint8_t s6_addr[16]

    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
        in_addr ipi_addr

    struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex

    int IPPROTO_IP
    int IPPROTO_IPV6
    int IPPROTO_UDP
    int IP_PKTINFO
    int IP_TOS
    int IP_RECVTOS
    int IP_MTU_DISCOVER
    int IP_PMTUDISC_DO
    int IP_PMTUDISC_DONT
    int IPV6_PKTINFO
    int IPV6_RECVPKTINFO
    int IPV6_TCLASS
    int IPV6_RECVTCLASS
    int IPV6_MTU_DISCOVER
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    uint32_t htonl(uint32_t value)
    uint32_t ntohl(uint32_t value)


cdef extern from "<linux/udp.h>" nogil:
    int UDP_SEGMENT
    int UDP_GRO


cdef extern from "<linux/virtio_net.h>" nogil:
    struct virtio_net_hdr:
        uint8_t flags
        uint8_t gso_type
        uint16_t hdr_len
        uint16_t gso_size
        uint16_t csum_start
        uint16_t csum_offset

    int VIRTIO_NET_HDR_F_NEEDS_CSUM
    int VIRTIO_NET_HDR_F_DATA_VALID
    int VIRTIO_NET_HDR_GSO_NONE
    int VIRTIO_NET_HDR_GSO_TCPV4
    int VIRTIO_NET_HDR_GSO_TCPV6
    int VIRTIO_NET_HDR_GSO_ECN


cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
        int fd

    struct epoll_event:
        uint32_t events
        epoll_data_t data

    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int maximum, int timeout)
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    uint32_t EPOLLIN
    uint32_t EPOLLERR
    int EPOLL_CLOEXEC


cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents

    int poll(pollfd* fds, unsigned long count, int timeout)
    short POLLOUT


cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initial, int flags)
    int EFD_NONBLOCK
    int EFD_CLOEXEC


cdef extern from "<time.h>" nogil:
    ctypedef long time_t

    struct timespec:
        time_t tv_sec
        long tv_nsec

    int clock_gettime(int clock, timespec* value)
    int CLOCK_MONOTONIC


cdef extern from * nogil:
    """
    #define fastesp_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define fastesp_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    #define fastesp_swap(p, v) __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL)
    static inline int fastesp_change(uint64_t* place, uint64_t from, uint64_t to) {
        return __atomic_compare_exchange_n(place, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    uint64_t load_acquire "fastesp_load"(uint64_t* place)
    void store_release "fastesp_store"(uint64_t* place, uint64_t value)
    uint64_t swap "fastesp_swap"(uint64_t* place, uint64_t value)
    bint change "fastesp_change"(uint64_t* place, uint64_t was, uint64_t value)


# What Debian 12's headers do not name yet: UDP segmentation offload of a TUN (Linux 6.2).
cdef enum:
    VIRTIO_NET_HDR_GSO_UDP_L4 = 5
    UDP_SEGMENTS_MAX = 64
