"""What a worker tells the control plane: one fixed record a note."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastesp.io.path cimport path_t

cdef enum:
    NOTE_ACQUIRE = 1            # slot: policy; the flow is set
    NOTE_LIMIT = 2              # slot: SA, spi; value: kind << 16 | limit, the engine's EVENT_ and LIMIT_ values
    NOTE_MOVED = 3              # slot: inbound SA, spi, path
    NOTE_UNKNOWN_SPI = 4        # spi, path
    NOTE_PATH_MTU = 5           # slot: outbound SA, spi: the kernel says that a packet is too big for its path
    NOTE_DEVICE_GONE = 6        # the TUN device was deleted


cdef struct note_t:
    uint32_t kind
    uint32_t slot
    uint32_t spi                # host order
    uint32_t value
    uint8_t inbound
    uint8_t family              # of the flow
    uint8_t protocol
    uint8_t reserved
    uint16_t source_port
    uint16_t destination_port
    uint8_t source[16]
    uint8_t destination[16]
    path_t path
