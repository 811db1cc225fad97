# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native data plane: a packet's way from socket to sockets, in one file.

    drain()      one wake-up of one socket: `recvmmsg`, at most 64 datagrams, without the GIL
      _datagram    STUN and DTLS go to Python; the rest by its (socket, address) to the peer that verified it
    take()       the same for a packet that came by a TCP connection, which Python reads
      _secure      decrypted in place; an SSRC that Python has not admitted for the peer goes to Python as it came
      _media       RTP of a followed stream: its number, how loud it is, then into the job of its publication
      _feedback    RTCP of a viewer: NACKs are answered from the cache, keyframe requests are told; what it tells of its
                   line goes into the estimate (`estimate.pxi`), which Python reads when it chooses what to send
    _work()      job by job, subscription by subscription, packet by packet; where many look on, a picture waits until it is
                 whole, and its parts are made of one size, so that each viewer gets it as one message
      _admit       no pause, both gates and the lease, on every send
      _emit        header rewritten
      _seal        encrypted, from where the payload was received to where it is sent from (`seal.c`; by libsrtp where that
                   cannot); joined to the message before it where sizes allow
    _flush()     `sendmmsg`; what the socket would not take waits, bounded, and is admitted anew before it leaves;
                 what goes by TCP is written to its connection, which Python bounds

The rules (numbers, offsets, gates, limits) are those of `forwarder.py`, which is the reference; what is rare (a
stream's first packet, late packets, retransmissions of a publisher, descriptions) is decided there and in
`encoding.py`: once a packet of a peer has gone to Python, its later packets of the same call follow, in order.

One thread calls this. Nothing here is freed while the GIL is released: peers and subscriptions are kept by the
plane until they are closed, a publication that Python has dropped is freed at the beginning of the next call. One
call works for BUDGET_NS at most (`backlog` then says that there is more) and leaves nothing unsent but what the
socket refused, and what waits for the rest of its picture (`held`), HELD_NS at most. Bounds: POOL packets wait in
JOBS jobs; when they are used up the sockets are not read. WAITING_MAX messages wait for a full socket; further ones
are lost and counted.
"""

from cython cimport no_gc_clear
from cpython.buffer cimport PyBUF_CONTIG, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <time.h>
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    /* Where the sanitizer watches: nothing reads beyond a datagram in its larger buffer. */
    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #define tollroom_fence(at, size) ASAN_POISON_MEMORY_REGION(at, size)
    #define tollroom_unfence(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
    #else
    #define tollroom_fence(at, size) ((void)(at), (void)(size))
    #define tollroom_unfence(at, size) ((void)(at), (void)(size))
    #endif
    #define SEGMENT_SPACE CMSG_SPACE(sizeof(uint16_t))

    /* Let the processor bring it into its cache. */
    static inline void tollroom_fetch(const void *start, size_t size)
    {
        for (size_t at = 0; at < size; at += 64)
            __builtin_prefetch((const char *)start + at);
    }

    #define FOREVER_NS ((int64_t)1 << 62) /* the same as in gate.py */
    #define SECOND_NS 1000000000LL
    #define BUDGET_NS 2000000LL
    #define KEYFRAME_SPACING_NS 100000000LL /* a decoder in trouble asks every 200 ms: Python hears no more of it */

    typedef int (*tollroom_srtp)(void *session, void *packet, int *length);

    /* The address as three words: the family's bytes and the port with the scope. */
    static int tollroom_address(const struct sockaddr_storage *from, uint64_t key[3])
    {
        key[0] = key[1] = key[2] = 0;
        if (from->ss_family == AF_INET) {
            const struct sockaddr_in *four = (const struct sockaddr_in *)from;
            memcpy(&key[0], &four->sin_addr, 4);
            key[2] = ntohs(four->sin_port);
            return 1;
        }
        if (from->ss_family == AF_INET6) {
            const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
            memcpy(key, &six->sin6_addr, 16);
            key[2] = ntohs(six->sin6_port) | (uint64_t)six->sin6_scope_id << 16;
            return 1;
        }
        return 0;
    }

    static socklen_t tollroom_sockaddr(struct sockaddr_storage *to, const uint8_t *host, int size, uint16_t port,
                                       uint32_t flow, uint32_t scope)
    {
        memset(to, 0, sizeof *to);
        if (size == 4) {
            struct sockaddr_in *four = (struct sockaddr_in *)to;
            four->sin_family = AF_INET;
            four->sin_port = htons(port);
            memcpy(&four->sin_addr, host, 4);
            return sizeof *four;
        }
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        six->sin6_flowinfo = htonl(flow);
        six->sin6_scope_id = scope;
        memcpy(&six->sin6_addr, host, 16);
        return sizeof *six;
    }

    static void tollroom_segment(struct msghdr *message, void *control, uint16_t size)
    {
        message->msg_control = control;
        message->msg_controllen = SEGMENT_SPACE;
        struct cmsghdr *head = CMSG_FIRSTHDR(message);
        head->cmsg_level = SOL_UDP;
        head->cmsg_type = UDP_SEGMENT;
        head->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(head), &size, sizeof size);
    }
    """
    struct iovec:
        void *iov_base
        size_t iov_len
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct timespec:
        long tv_sec
        long tv_nsec
    int C_AF_INET "AF_INET"
    int MSG_DONTWAIT, MSG_TRUNC, CLOCK_BOOTTIME, CLOCK_MONOTONIC
    int SEGMENT_SPACE
    const int64_t FOREVER_NS, SECOND_NS, BUDGET_NS, KEYFRAME_SPACING_NS
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout) nogil
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags) nogil
    ssize_t sendmsg(int fd, const msghdr *message, int flags) nogil
    int clock_gettime(int clock, timespec *time) nogil
    ctypedef int (*tollroom_srtp)(void *session, void *packet, int *length) noexcept nogil
    int tollroom_address(const sockaddr_storage *source, uint64_t *key) noexcept nogil
    socklen_t tollroom_sockaddr(sockaddr_storage *to, const uint8_t *host, int size, uint16_t port,
                                uint32_t flow, uint32_t scope) noexcept nogil
    void tollroom_fetch(const void *start, size_t size) noexcept nogil
    void tollroom_fence(void *at, size_t size) noexcept nogil
    void tollroom_unfence(void *at, size_t size) noexcept nogil
    void tollroom_segment(msghdr *message, void *control, uint16_t size) noexcept nogil

cdef enum:
    BATCH = 64                  # datagrams of one recvmmsg
    POOL = 1024                 # packets that may wait to be sent on
    JOBS = 512
    JOB_PACKETS = 64
    BUFFER_BYTES = 2048
    DATAGRAM_BYTES_MAX = 1500
    TRAILER_BYTES = 148         # what libsrtp may add behind a packet
    ARENA_BYTES = 393216
    MESSAGES = 64               # of one sendmmsg
    SEGMENTS_MAX = 60
    PORTS_AT_ONCE = 16
    JOINED_BYTES_MAX = 64000
    SEGMENT_BYTES_MAX = 1400    # a longer one may not fit the path: sent alone
    EQUALIZED_BYTES_MAX = 4
    HELD_VIEWERS_LEAST = 32     # from so many on a picture's packets wait for one another
    HELD_PACKETS_MAX = 32
    HELD_NS = 1000000
    WAITING_MAX = 1024
    WAITING_BYTES_MAX = 4194304
    ITEMS = 320
    KEYFRAMES_PER_DATAGRAM_MAX = 4
    DESCRIPTOR_BYTES_MAX = 255
    CACHE_PACKETS = 1024        # the same as in forwarder.py, as the next five
    OFFSETS_KEPT = 8
    RESENDS_PER_SECOND_MAX = 500
    REPAIRS = 64                # the next four as in repairs.py
    REPAIR_WINDOW_US = 200000
    REPAIR_LEAST_BYTES = 1500
    TROUBLE_US = 2000000
    LATE_PACKETS_MAX = 1000
    PADDING_BYTES = 224
    NACKS_MAX = 512             # the same as in rtcp.py

# What `drain` hands to Python: the first of each tuple.
STUN, DATAGRAM, RTP, RTCP, FORWARDED, KEYFRAME, RESUMED, FIRST = range(8)
cdef enum:
    C_STUN, C_DATAGRAM, C_RTP, C_RTCP, C_FORWARDED, C_KEYFRAME
cdef enum:
    WAS_RESUMED = 1, FIRST_OF_GATE = 2, WAS_MOVED = 8  # FIRST_OF_GATE is shifted by the gate's place
cdef enum:
    MEDIA, REPEAT, PADDING  # what a message is: only media is counted for its subscription


include "sealing.pxi"


# --- what is kept ----------------------------------------------------------------------------------------

cdef struct Line

cdef struct Cached:
    int64_t number
    uint32_t timestamp
    uint8_t flags           # marker and padding bits of the first two header bytes
    int descriptor_bytes    # of the dependency descriptor, which is kept before the payload
    int size
    int room
    uint8_t *data

cdef struct Received:
    int64_t number
    uint32_t timestamp
    uint8_t marker          # 0x80 or 0
    uint8_t padding         # 0x20 or 0
    int audio_level         # -dBov, 0 to 127, of sound whose sender tells it, else -1
    uint8_t voice           # 0x80 or 0
    int descriptor_bytes    # of the dependency descriptor before `start`: only where Python has read it
    int start
    int size

cdef struct Peer:
    uint64_t key
    void *incoming          # libsrtp's sessions; NULL before the handshake is done
    void *outgoing
    sealer *seal            # encrypts in place of `outgoing`; NULL where only libsrtp can
    bint feedback           # its RTCP is a viewer's: answered here
    CPort *route
    sockaddr_storage address
    socklen_t address_bytes
    uint64_t asked          # the call in which a packet of it went to Python
    int64_t heard_ns
    int64_t rtp_ns
    uint64_t packets_in, bytes_in, packets_out, bytes_out, failed
    uint64_t reports
    Line *line              # NULL while nothing goes to it with transport-wide numbers
    double told_bps         # the viewer's own estimate (REMB), 0.0: never told
    int told_loss           # the most of its last report, in 1/256
    PyObject *link

cdef struct Stream:
    uint32_t ssrc
    Publication *publication    # NULL: known to the peer, but Python decides on every packet
    uint8_t payload_type
    int transport_cc_id, audio_level_id     # 0: not agreed on
    int64_t highest, shift, timestamp_shift

cdef struct Publication:
    int64_t highest         # of what was served
    int64_t queued          # of what was taken in
    int audio_level         # the loudest since it was last asked for, or -1
    Subscription **subscriptions
    int count, room
    int job                 # where packets of this call are gathered, or -1
    Stream *stream
    Cached *cache           # NULL for audio
    uint64_t octets         # of payload taken in
    Publication *next_free

cdef struct Splice:         # what is added, see forwarder.py
    uint32_t timestamp
    uint16_t picture_id
    uint8_t tl0_picture_index, key_index
    bint changes_payload

cdef struct Former:
    Publication *publication
    int64_t base, last, offset
    Splice splice

cdef struct Subscription:
    Peer *peer
    Publication *publication
    uint32_t ssrc, rtx_ssrc
    uint8_t first_byte, payload_type
    int rtx_payload_type    # -1: none
    int64_t rtx_number
    uint8_t extension[64]
    int extension_bytes
    int transport_cc_at, send_time_at, level_at     # places in it, 0: it is not told (see rtp.HeadExtension)
    uint8_t level_id
    uint8_t descriptor_id   # 0: has no use for it
    int64_t *gates[2]       # of each: is open, allowance, first packet (see gate.py)
    int gate_count
    int64_t last_ns
    uint64_t packets, octets
    int64_t offset, base, next_number
    bint withheld
    Splice splice
    int64_t start           # the keyframe to begin with after a move
    bint paused
    int former_count
    int64_t resend_second
    int resends
    int64_t repair_window, repair_bytes
    int64_t keyframe_ns     # the last request that was told
    int marks               # to be told to Python
    int64_t first_ns
    uint64_t packets_before, octets_before
    Subscription *next_marked
    seal_stream *stream     # of `ssrc` and `rtx_ssrc`, from the first packet on; NULL with libsrtp
    seal_stream *repairs
    PyObject *link
    Former former[OFFSETS_KEPT]  # from here on: not needed for every packet
    int64_t repaired[REPAIRS]
    int64_t repaired_us[REPAIRS]

cdef struct Job:
    Publication *publication
    int count
    int cursor
    bint started
    int64_t seen_ns         # when its turn first came (CLOCK_MONOTONIC)
    int buffers[JOB_PACKETS]

cdef struct Message:
    uint8_t *data
    int size
    int segment             # size of its first packet
    int segments
    bint closed             # ends with a shorter packet
    int kind                # media, or what is not counted
    uint64_t octets
    int64_t at_ns
    Subscription *subscription

cdef struct CPort:
    int index, fd
    bint joins              # UDP_SEGMENT works
    Message messages[MESSAGES]
    int count
    Message waiting[WAITING_MAX]
    int waiting_first, waiting_count
    int64_t waiting_bytes
    uint64_t dropped, joined

cdef struct Item:
    int kind
    int buffer
    int size
    Peer *peer
    uint32_t ssrc
    int64_t number
    uint32_t timestamp
    int transport_cc
    int64_t now_ns
    sockaddr_storage source


include "estimate.pxi"


# --- one hash table for peers by address, streams and subscriptions by (peer, SSRC) ----------------------

cdef struct Slot:
    uint64_t key[3]
    void *value

cdef struct Table:
    Slot *slots
    uint64_t mask
    uint64_t used
    uint64_t seed

cdef inline uint64_t _mixed(uint64_t value) noexcept nogil:
    value = (value ^ (value >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * <uint64_t>0x94D049BB133111EB
    return value ^ (value >> 31)

cdef inline uint64_t _home(Table *table, uint64_t *key) noexcept nogil:
    return _mixed(_mixed(_mixed(key[0] ^ table.seed) + key[1]) + key[2]) & table.mask

cdef inline bint _same(uint64_t *one, uint64_t *other) noexcept nogil:
    return one[0] == other[0] and one[1] == other[1] and one[2] == other[2]

cdef void *_find(Table *table, uint64_t *key) noexcept nogil:
    cdef uint64_t at = _home(table, key)
    while table.slots[at].value != NULL:
        if _same(table.slots[at].key, key):
            return table.slots[at].value
        at = (at + 1) & table.mask
    return NULL

cdef int _open_table(Table *table, uint64_t size, uint64_t seed) except -1:
    table.slots = <Slot *>calloc(size, sizeof(Slot))
    if table.slots == NULL:
        raise MemoryError
    table.mask, table.used, table.seed = size - 1, 0, seed
    return 0

cdef int _put(Table *table, uint64_t *key, void *value) except -1:
    """Add or replace. Never more than half full, so that `_find` ends soon."""
    cdef Table larger
    cdef uint64_t at
    if 2 * (table.used + 1) > table.mask:
        _open_table(&larger, 2 * (table.mask + 1), table.seed)
        for at in range(table.mask + 1):
            if table.slots[at].value != NULL:
                _put(&larger, table.slots[at].key, table.slots[at].value)
        free(table.slots)
        table[0] = larger
    at = _home(table, key)
    while table.slots[at].value != NULL and not _same(table.slots[at].key, key):
        at = (at + 1) & table.mask
    table.used += table.slots[at].value == NULL
    memcpy(table.slots[at].key, key, sizeof(table.slots[at].key))
    table.slots[at].value = value
    return 0

cdef void _drop(Table *table, uint64_t *key) noexcept nogil:
    """Remove, and move up what had been displaced."""
    cdef uint64_t at = _home(table, key)
    cdef uint64_t hole, home
    while table.slots[at].value != NULL and not _same(table.slots[at].key, key):
        at = (at + 1) & table.mask
    if table.slots[at].value == NULL:
        return
    table.used -= 1
    hole = at
    while True:
        at = (at + 1) & table.mask
        if table.slots[at].value == NULL:
            break
        home = _home(table, table.slots[at].key)
        if ((at - home) & table.mask) >= ((at - hole) & table.mask):
            table.slots[hole] = table.slots[at]
            hole = at
    table.slots[hole].value = NULL


# --- numbers and gates, as in forwarder.py and gate.py ---------------------------------------------------

cdef inline int64_t _unwrap(int sequence, int64_t reference) noexcept nogil:
    cdef int64_t delta = (sequence - reference) & 0xFFFF
    return reference + (delta - 0x10000 if delta & 0x8000 else delta)

cdef inline int64_t _until(Subscription *to, int64_t lease_ns, int64_t now_ns) noexcept nogil:
    """When both gates and the lease stop letting packets pass; 0 while paused."""
    return 0 if to.paused else _open_until(to, lease_ns, now_ns)

cdef inline int64_t _open_until(Subscription *to, int64_t lease_ns, int64_t now_ns) noexcept nogil:
    cdef int64_t until_ns = lease_ns
    cdef int64_t gate_ns
    cdef int place
    for place in range(to.gate_count):
        if not to.gates[place][0]:
            return 0
        if to.gates[place][1] < FOREVER_NS:
            gate_ns = to.gates[place][2]
            gate_ns = (now_ns if gate_ns < 0 else gate_ns) + to.gates[place][1]
            until_ns = min(until_ns, gate_ns)
    return until_ns

cdef inline bint _running(Subscription *to) noexcept nogil:
    """Whether a packet has passed all its gates since they were opened."""
    cdef int place
    for place in range(to.gate_count):
        if to.gates[place][2] < 0:
            return False
    return True

cdef inline bint _passing(Subscription *to, int64_t lease_ns, int64_t now_ns) noexcept nogil:
    """Whether packets have been passing and still may."""
    return _running(to) and not to.withheld and now_ns < _until(to, lease_ns, now_ns)

cdef inline void _withhold(Subscription *to, int64_t highest) noexcept nogil:
    if to.withheld:
        return
    to.withheld = True
    to.next_number = highest + 1 - to.offset
    if to.former_count == OFFSETS_KEPT:
        memmove(&to.former[0], &to.former[1], (OFFSETS_KEPT - 1) * sizeof(Former))
        to.former_count -= 1
    to.former[to.former_count] = Former(
        publication=to.publication, base=to.base, last=highest, offset=to.offset, splice=to.splice
    )
    to.former_count += 1

cdef inline Former *_late(Subscription *to, int64_t number, int64_t highest) noexcept nogil:
    """What holds for a packet of before `base`, or NULL."""
    cdef int place
    if highest - number > LATE_PACKETS_MAX:
        return NULL
    for place in range(to.former_count):
        if to.former[place].base <= number <= to.former[place].last and to.former[place].publication == to.publication:
            return &to.former[place]
    return NULL

cdef inline bint _sent_as(Subscription *to, int64_t outgoing, Former *stretch) noexcept nogil:
    """Where the packet of an (unwrapped) outgoing number came from."""
    cdef int place
    if not to.withheld and outgoing >= to.base - to.offset:
        stretch.publication, stretch.offset, stretch.splice = to.publication, to.offset, to.splice
        return True
    for place in range(to.former_count):
        if to.former[place].base <= outgoing + to.former[place].offset <= to.former[place].last:
            stretch[0] = to.former[place]
            return True
    return False

cdef inline bint _may_resend(Subscription *to, int64_t now_ns) noexcept nogil:
    if now_ns // SECOND_NS != to.resend_second:
        to.resend_second, to.resends = now_ns // SECOND_NS, 0
    to.resends += 1
    return to.resends <= RESENDS_PER_SECOND_MAX


cdef inline bint _may_repair(Subscription *to, int64_t outgoing, int size, int64_t now_ns, bint left_behind) noexcept nogil:
    """`repairs.Repairs.admit`."""
    cdef Line *line = to.peer.line
    cdef int64_t now_us = now_ns // 1000
    cdef int place = <int>(outgoing & (REPAIRS - 1))
    if line == NULL or line.feedbacks == 0:
        return True
    if left_behind and now_us - line.cut_us < TROUBLE_US:
        return False
    if to.repaired[place] == outgoing and now_us - to.repaired_us[place] < line.rtt_us // 2:
        return False
    if now_us // REPAIR_WINDOW_US != to.repair_window:
        to.repair_window, to.repair_bytes = now_us // REPAIR_WINDOW_US, 0
    if to.repair_bytes >= max(<int64_t>REPAIR_LEAST_BYTES, <int64_t>(0.3 * line.estimate_bps * REPAIR_WINDOW_US / 8e6)):
        return False
    to.repair_bytes += size
    to.repaired[place], to.repaired_us[place] = outgoing, now_us
    return True


# --- bytes -----------------------------------------------------------------------------------------------

cdef inline uint32_t _read16(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 8 | at[1]

cdef inline uint32_t _read32(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]

cdef inline void _write16(uint8_t *at, uint32_t value) noexcept nogil:
    at[0], at[1] = <uint8_t>(value >> 8), <uint8_t>value

cdef inline void _write32(uint8_t *at, uint32_t value) noexcept nogil:
    _write16(at, value >> 16)
    _write16(at + 2, value)

cdef inline void _stamp(Subscription *to, uint8_t *block, int level, int64_t now_ns) noexcept nogil:
    """The header extension of the next packet: a copy, and what is told of this one alone."""
    memcpy(block, to.extension, to.extension_bytes)
    if to.transport_cc_at:
        _write16(block + to.transport_cc_at, <uint32_t>(to.peer.line.next_number & 0xFFFF))
    if to.send_time_at:  # seconds modulo 64, 18 bits behind the point
        now_ns = ((now_ns % (64 * SECOND_NS)) << 18) // SECOND_NS
        block[to.send_time_at] = <uint8_t>(now_ns >> 16)
        _write16(block + to.send_time_at + 1, <uint32_t>(now_ns & 0xFFFF))
    if to.level_at and level >= 0:
        block[to.level_at], block[to.level_at + 1] = <uint8_t>(to.level_id << 4), <uint8_t>level

cdef void _shift_ids(uint8_t *payload, int size, Splice *splice) noexcept nogil:
    """The picture id, TL0PICIDX and KEYIDX of a VP8 payload descriptor (RFC 7741 section 4.2)."""
    cdef int at = 2
    cdef uint8_t ids
    if size < 2 or not payload[0] & 0x80:
        return
    ids = payload[1]
    if ids & 0x80:
        if size > at + 1 and payload[at] & 0x80:
            _write16(payload + at, ((_read16(payload + at) + splice.picture_id) & 0x7FFF) | 0x8000)
            at += 1
        elif size > at and not payload[at] & 0x80:
            payload[at] = (payload[at] + splice.picture_id) & 0x7F
        at += 1
    if ids & 0x40:
        if size > at:
            payload[at] += splice.tl0_picture_index
        at += 1
    if ids & 0x10 and size > at:
        payload[at] = (payload[at] & 0xE0) | ((payload[at] + splice.key_index) & 0x1F)

cdef inline int _described_bytes(Subscription *to, int size) noexcept nogil:
    """How much longer a dependency descriptor of that size makes the header extension."""
    return (size + 5) & ~3 if to.descriptor_id and size else 0

cdef inline void _describe(Subscription *to, uint8_t *block, const uint8_t *descriptor, int size) noexcept nogil:
    """Write the descriptor behind the other header extensions, as `rtp.with_descriptor` does."""
    cdef uint8_t *at = block + to.extension_bytes
    cdef int room = (size + 5) & ~3
    _write16(block + 2, _read16(block + 2) + room // 4)
    memset(at + room - 4, 0, 4)
    at[0], at[1] = to.descriptor_id, <uint8_t>size
    memcpy(at + 2, descriptor, size)

cdef const uint8_t *_extension(const uint8_t *extensions, int size, int identifier, int value_bytes) noexcept nogil:
    """The value of the first one-byte header extension of that number (RFC 8285); NULL when there is none, or none of
    that size. Number 0 is none."""
    cdef int at = 0
    cdef int length
    while identifier and at < size:
        if extensions[at] == 0:  # padding
            at += 1
            continue
        length = (extensions[at] & 0x0F) + 1
        if extensions[at] >> 4 == identifier:
            return extensions + at + 1 if length == value_bytes and at + length < size else NULL
        if extensions[at] >> 4 == 15:
            return NULL
        at += 1 + length
    return NULL

cdef bint _parse_rtp(const uint8_t *data, int size, Received *packet, Stream *stream, int *transport_cc) noexcept nogil:
    """RFC 3550 section 5.1. False for what is not RTP."""
    cdef int start
    cdef int end
    cdef const uint8_t *value
    transport_cc[0] = packet.audio_level = -1
    packet.voice = 0
    if size < 12 or data[0] >> 6 != 2:
        return False
    start = 12 + 4 * (data[0] & 0x0F)
    if data[0] & 0x10:
        if start + 4 > size:
            return False
        end = start + 4 + 4 * <int>_read16(data + start + 2)
        if end > size:
            return False
        if _read16(data + start) == 0xBEDE:
            value = _extension(data + start + 4, end - start - 4, stream.transport_cc_id, 2)
            if value != NULL:
                transport_cc[0] = <int>_read16(value)
            value = _extension(data + start + 4, end - start - 4, stream.audio_level_id, 1)
            if value != NULL:  # RFC 6464 section 3
                packet.audio_level, packet.voice = value[0] & 0x7F, value[0] & 0x80
        start = end
    if start > size:
        return False
    packet.padding, packet.marker = data[0] & 0x20, data[1] & 0x80
    packet.timestamp = _read32(data + 4)
    packet.descriptor_bytes, packet.start, packet.size = 0, start, size - start
    return True


# --- handles: what Python holds --------------------------------------------------------------------------

cdef class Port:
    """One socket. `blocked`: messages wait until it is writable."""

    cdef CPort *c
    cdef readonly int index

    def __cinit__(self, int index, int fd):
        self.c = <CPort *>calloc(1, sizeof(CPort))
        if self.c == NULL:
            raise MemoryError
        self.c.index, self.c.fd, self.c.joins = index, fd, True
        self.index = index

    def __dealloc__(self):
        free(self.c)

    @property
    def blocked(self):
        return self.c.waiting_count > 0

    @property
    def waiting(self):
        return self.c.waiting_count

    @property
    def dropped(self):
        return self.c.dropped

    @property
    def joins(self):
        return bool(self.c.joins)

    @property
    def joined(self):
        return self.c.joined


cdef class PeerLink:
    """One peer: `user` is who gets its items. Times in ns, 0 before the first."""

    cdef Peer *c
    cdef readonly object user
    cdef object keep        # the SRTP sessions
    cdef object stream      # the TCP connection that its route is, if it is one
    cdef dict streams       # SSRC to PublicationLink or None
    cdef set addresses
    cdef set subscriptions
    cdef DataPlane plane

    def __cinit__(self):
        self.c = <Peer *>calloc(1, sizeof(Peer))
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        seal_close(self.c.seal)
        free(self.c.line)
        free(self.c)

    @property
    def heard_ns(self):
        return self.c.heard_ns

    @property
    def rtp_ns(self):
        return self.c.rtp_ns

    @property
    def packets_in(self):
        return self.c.packets_in

    @property
    def bytes_in(self):
        return self.c.bytes_in

    @property
    def packets_out(self):
        return self.c.packets_out

    @property
    def bytes_out(self):
        return self.c.bytes_out

    @property
    def failed(self):
        return self.c.failed

    @property
    def seals(self):
        """Whether `secure` has a use for a key: this machine can encrypt without libsrtp."""
        return gcm_best() != GCM_NONE

    def secure(self, sessions, uintptr_t incoming, uintptr_t outgoing, *, bint feedback, bytes key=b""):
        """The handshake is done, once. `sessions` are kept as long as their handles are used; `feedback`: the peer is
        a viewer, whose RTCP is answered here and whose RTP goes nowhere. `key`: master key and salt of `outgoing` where
        that is of AES-GCM; then no RTP is sent with that session any more."""
        if self.c.outgoing != NULL:
            raise ValueError("the handshake was done before")
        if self in self.plane.links:
            self.c.seal = _open_sealer(key, gcm_best()) if key else NULL
            self.keep = sessions
            self.c.incoming, self.c.outgoing, self.c.feedback = <void *>incoming, <void *>outgoing, feedback

    def know(self, uint32_t ssrc):
        """Python has admitted an SSRC of the peer: its packets are decrypted here from now on."""
        self.plane._know(self, ssrc)

    def forget(self, uint32_t ssrc):
        """The SSRC is no longer admitted."""
        self.plane._forget(self, ssrc)

    # --- what its line carries: read as `bandwidth.Line` is ---

    @property
    def feedbacks(self):
        return 0 if self.c.line == NULL else self.c.line.feedbacks

    @property
    def estimate_bps(self):
        return START_BPS if self.c.line == NULL else self.c.line.estimate_bps

    @property
    def acked_bps(self):
        return 0.0 if self.c.line == NULL else self.c.line.acked_bps

    @property
    def limited(self):
        return self.c.line != NULL and bool(self.c.line.limited)

    @property
    def loss(self):
        return 0.0 if self.c.line == NULL else self.c.line.loss

    @property
    def excess_loss(self):
        return 0.0 if self.c.line == NULL else self.c.line.excess_loss

    @property
    def cut_ns(self):
        return 0 if self.c.line == NULL else self.c.line.cut_us * 1000

    @property
    def probe_bps(self):
        return 0.0 if self.c.line == NULL else self.c.line.probe_bps

    @property
    def is_probing(self):
        return self.c.line != NULL and self.c.line.probe.first > 0

    @property
    def told_bps(self):
        return self.c.told_bps

    @property
    def told_loss(self):
        return self.c.told_loss / 256.0

    @property
    def reports(self):
        return self.c.reports

    def note_feedback(self, bytes data, int64_t now_ns):
        """A decrypted RTCP datagram that came by way of Python: what it tells of the line."""
        self.c.heard_ns = max(self.c.heard_ns, now_ns)
        self.plane._feedback(self.c, <uint8_t *>PyBytes_AS_STRING(data), <int>len(data), True)

    def begin_probe(self):
        if self.c.line != NULL:
            _begin_probe(self.c.line)

    def end_probe(self, int64_t now_ns):
        if self.c.line != NULL:
            _end_probe(self.c.line, now_ns)

    def check_probe(self, int64_t now_ns):
        if self.c.line != NULL:
            _check_probe(self.c.line, now_ns)


@no_gc_clear  # `plane` is needed to the end
cdef class PublicationLink:
    """One publication. Freed by the plane, at the beginning of its next call."""

    cdef Publication *c
    cdef DataPlane plane

    def __dealloc__(self):
        if self.c != NULL:
            self.c.next_free = self.plane.to_free
            self.plane.to_free = self.c

    @property
    def highest(self):
        """The highest number taken in."""
        return self.c.queued

    @property
    def octets(self):
        """Of payload taken in."""
        return self.c.octets

    def take_audio_level(self):
        """The loudest level (-dBov) of what was taken in since the last call; -1 when nothing told its level."""
        level, self.c.audio_level = self.c.audio_level, -1
        return level


cdef class SubscriptionLink:
    """One subscription; `user` is given back with what is told of it. Closed by `DataPlane.unsubscribe`."""

    cdef Subscription *c
    cdef readonly object user
    cdef readonly object gates
    cdef PublicationLink publication
    cdef list formers       # publications that `former` leads to
    cdef PeerLink peer
    cdef Py_buffer views[2]
    cdef int view_count

    def __cinit__(self):
        self.c = <Subscription *>calloc(1, sizeof(Subscription))
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int place
        for place in range(self.view_count):
            PyBuffer_Release(&self.views[place])
        free(self.c)

    @property
    def last_ns(self):
        return self.c.last_ns

    @property
    def packets(self):
        return self.c.packets

    @property
    def octets(self):
        return self.c.octets

    @property
    def withheld(self):
        return bool(self.c.withheld)

    @property
    def paused(self):
        """Nothing is sent while it is set, whatever the gates say; the numbers are settled by the next packet."""
        return bool(self.c.paused)

    @paused.setter
    def paused(self, bint paused):
        self.c.paused = paused


# --- helpers ---------------------------------------------------------------------------------------------

cdef inline int64_t _read_clock(int clock) noexcept nogil:
    cdef timespec time
    clock_gettime(clock, &time)
    return time.tv_sec * SECOND_NS + time.tv_nsec

cdef bytes _host(tuple address):
    host = address[0].partition("%")[0]
    return inet_pton(AF_INET6 if ":" in host else AF_INET, host)

cdef int _address_key(int index, tuple address, uint64_t *key) except -1:
    cdef sockaddr_storage storage
    host = _host(address)
    scope = address[3] if len(address) > 2 else 0
    tollroom_sockaddr(&storage, <const uint8_t *>PyBytes_AS_STRING(host), <int>len(host), address[1], 0, scope)
    tollroom_address(&storage, key)
    key[2] |= <uint64_t>index << 48
    return 0

cdef tuple _address_of(sockaddr_storage *source):
    """As `recvfrom` gives it, but for the name of the interface in a link-local host."""
    cdef uint64_t key[3]
    tollroom_address(source, key)
    if source.ss_family == C_AF_INET:
        return inet_ntop(AF_INET, (<char *>key)[:4]), <int>(key[2] & 0xFFFF)
    return inet_ntop(AF_INET6, (<char *>key)[:16]), <int>(key[2] & 0xFFFF), 0, <uint32_t>(key[2] >> 16)

cdef int _grow(Publication *publication) except -1:
    """Make room for one more subscription."""
    cdef int room = max(8, 2 * publication.room)
    if publication.count < publication.room:
        return 0
    cdef void *larger = realloc(publication.subscriptions, room * sizeof(Subscription *))
    if larger == NULL:
        raise MemoryError
    publication.subscriptions, publication.room = <Subscription **>larger, room
    return 0

cdef int _place_of(Subscription *to) noexcept nogil:
    """Among the subscriptions of its publication."""
    cdef int at = 0
    while to.publication.subscriptions[at] != to:
        at += 1
    return at

cdef bint _leads_to(Subscription *to, Publication *publication) noexcept:
    cdef int place
    for place in range(to.former_count):
        if to.former[place].publication == publication:
            return True
    return False

cdef void _free_publication(Publication *publication) noexcept:
    cdef int place
    if publication.cache != NULL:
        for place in range(CACHE_PACKETS):
            free(publication.cache[place].data)
    free(publication.cache)
    free(publication.subscriptions)
    free(publication)

cdef void _forget_waiting(CPort *port, Subscription *to) noexcept:
    """Drop the messages that wait for a subscription, or all."""
    cdef int place
    for place in range(port.waiting_count):
        message = &port.waiting[(port.waiting_first + place) % WAITING_MAX]
        if message.data != NULL and (to == NULL or message.subscription == to):
            port.waiting_bytes -= message.size
            free(message.data)
            message.data = NULL
    if to == NULL:
        port.waiting_count = 0


# --- the plane -------------------------------------------------------------------------------------------

cdef class DataPlane:
    """`lease` is an array of one integer, until when anything may be forwarded; each gate's state is an array of
    three (see gate.py). `srtp` holds the addresses of libsrtp's protect, unprotect, protect_rtcp and
    unprotect_rtcp. Time is CLOCK_BOOTTIME, read here, moved by what `now_ns` is ahead of it at the beginning of
    a call; with `stepped`, `now_ns` is asked each time (for tests)."""

    cdef object now_ns
    cdef bint stepped
    cdef int64_t ahead_ns
    cdef int64_t *lease
    cdef Py_buffer lease_view
    cdef tollroom_srtp protect, unprotect, unprotect_rtcp
    cdef Table peers, streams, subscriptions
    cdef dict ports
    cdef Port streams_port  # stands for all TCP connections
    cdef set links
    cdef uint64_t next_key, call
    cdef int64_t began_ns
    # received datagrams, and which buffers are free
    cdef uint8_t *buffers
    cdef Received *packets
    cdef int free_buffers[POOL]
    cdef int free_count
    cdef mmsghdr incoming[BATCH]
    cdef iovec incoming_parts[BATCH]
    cdef sockaddr_storage sources[BATCH]
    cdef int incoming_buffers[BATCH]
    cdef int incoming_at, incoming_count
    cdef CPort *incoming_port
    # what waits to be sent on
    cdef Job *jobs
    cdef int job_first, job_count
    cdef readonly int held  # jobs that wait for the rest of a picture, HELD_NS at most: then `work` is to be called
    # what is being sent
    cdef uint8_t *arena
    cdef int arena_used
    cdef CPort *sending[PORTS_AT_ONCE]
    cdef int sending_count
    cdef mmsghdr outgoing[MESSAGES]
    cdef iovec outgoing_parts[MESSAGES]
    cdef uint8_t controls[MESSAGES][64]
    # what is told to Python
    cdef Item *items
    cdef int item_count
    cdef Subscription *marked
    cdef Subscription *last_marked
    cdef Publication *to_free
    cdef readonly uint64_t dropped

    def __cinit__(self, lease, srtp, now_ns, uint64_t seed, *, bint stepped=False):
        cdef int place
        self.now_ns, self.stepped = now_ns, stepped
        PyObject_GetBuffer(lease, &self.lease_view, PyBUF_CONTIG)
        assert self.lease_view.len == 8
        self.lease = <int64_t *>self.lease_view.buf
        protect, unprotect, _, unprotect_rtcp = srtp
        self.protect = <tollroom_srtp><uintptr_t>protect
        self.unprotect = <tollroom_srtp><uintptr_t>unprotect
        self.unprotect_rtcp = <tollroom_srtp><uintptr_t>unprotect_rtcp
        _open_table(&self.peers, 256, seed)
        _open_table(&self.streams, 256, seed)
        _open_table(&self.subscriptions, 256, seed)
        self.ports, self.links = {}, set()
        self.streams_port = Port(-1, -1)
        self.streams_port.c.joins = False
        self.call = 1
        self.buffers = <uint8_t *>calloc(POOL, BUFFER_BYTES)
        self.packets = <Received *>calloc(POOL, sizeof(Received))
        self.jobs = <Job *>calloc(JOBS, sizeof(Job))
        self.arena = <uint8_t *>calloc(1, ARENA_BYTES)
        self.items = <Item *>calloc(ITEMS, sizeof(Item))
        if not (self.buffers and self.packets and self.jobs and self.arena and self.items):
            raise MemoryError
        for place in range(POOL):
            self.free_buffers[place] = place
        self.free_count = POOL

    def __dealloc__(self):
        cdef Publication *publication
        while self.to_free != NULL:
            publication, self.to_free = self.to_free, self.to_free.next_free
            _free_publication(publication)
        free(self.peers.slots)
        free(self.streams.slots)
        free(self.subscriptions.slots)
        if self.buffers != NULL:
            tollroom_unfence(self.buffers, POOL * BUFFER_BYTES)
        free(self.buffers)
        free(self.packets)
        free(self.jobs)
        free(self.arena)
        free(self.items)
        if self.lease != NULL:
            PyBuffer_Release(&self.lease_view)

    # --- what Python sets up and takes down ---

    def open_port(self, int index, int fd):
        """A bound socket; `index` distinguishes the sockets of the plane (they are part of an address)."""
        port = Port(index, fd)
        self.ports[index] = port
        return port

    def close_port(self, Port port not None):
        """Nothing more is read or sent there."""
        if self.incoming_port == port.c:
            self._give_back_incoming()
        _forget_waiting(port.c, NULL)
        self.ports.pop(port.index, None)
        for link in self.links:
            if (<PeerLink>link).c.route == port.c:
                (<PeerLink>link).c.route = NULL

    def open_peer(self, user):
        """A peer, known by no address yet."""
        cdef PeerLink link = PeerLink()
        self.next_key += 1
        link.c.key, link.c.link = self.next_key, <PyObject *>link
        link.user, link.plane = user, self
        link.streams, link.addresses, link.subscriptions = {}, set(), set()
        self.links.add(link)
        return link

    def close_peer(self, PeerLink link not None):
        """From now on nothing is received from it or sent to it. May be called twice."""
        for subscription in list(link.subscriptions):
            self.unsubscribe(subscription)
        for ssrc in list(link.streams):
            self._forget(link, ssrc)
        for index, address in list(link.addresses):
            self.remove_address(index, address)
        link.c.incoming = link.c.outgoing = NULL
        link.c.route = NULL
        seal_close(link.c.seal)
        link.c.seal = NULL
        self._forget_items(link.c)
        link.keep = link.user = link.stream = None
        self.links.discard(link)

    def add_address(self, PeerLink link not None, int index, tuple address):
        """The peer has verified an address (as `recvfrom` gives it) on a port."""
        cdef uint64_t key[3]
        _address_key(index, address, key)
        cdef Peer *former = <Peer *>_find(&self.peers, key)
        if former != NULL:
            (<PeerLink>former.link).addresses.discard((index, address))
        _put(&self.peers, key, link.c)
        link.addresses.add((index, address))

    def remove_address(self, int index, tuple address):
        cdef uint64_t key[3]
        _address_key(index, address, key)
        cdef Peer *former = <Peer *>_find(&self.peers, key)
        if former != NULL:
            (<PeerLink>former.link).addresses.discard((index, address))
            _drop(&self.peers, key)

    def set_route(self, PeerLink link not None, Port port, tuple address):
        """Where to send; no port: nowhere."""
        link.stream = None
        if port is None:
            link.c.route = NULL
            return
        host = _host(address)
        flow, scope = (address[2], address[3]) if len(address) > 2 else (0, 0)
        link.c.address_bytes = tollroom_sockaddr(
            &link.c.address, <const uint8_t *>PyBytes_AS_STRING(host), <int>len(host), address[1], flow, scope
        )
        link.c.route = port.c

    def set_stream(self, PeerLink link not None, stream):
        """Send by a TCP connection: its `send_to` frames and bounds what it is given; OSError when that is lost. It
        is called in the middle of the work, so it must not change anything here."""
        link.stream, link.c.route = stream, self.streams_port.c

    cdef _know(self, PeerLink link, uint32_t ssrc):
        cdef uint64_t key[3]
        cdef Stream *stream
        key[0], key[1], key[2] = link.c.key, ssrc, 0
        if link not in self.links or ssrc in link.streams:
            return
        stream = <Stream *>calloc(1, sizeof(Stream))
        if stream == NULL:
            raise MemoryError
        stream.ssrc = ssrc
        _put(&self.streams, key, stream)
        link.streams[ssrc] = None

    cdef _forget(self, PeerLink link, uint32_t ssrc):
        cdef uint64_t key[3]
        key[0], key[1], key[2] = link.c.key, ssrc, 0
        cdef Stream *stream = <Stream *>_find(&self.streams, key)
        if stream != NULL:
            self.unfollow(link, ssrc)
            _drop(&self.streams, key)
            free(stream)
            del link.streams[ssrc]

    def follow(
        self, PeerLink link not None, uint32_t ssrc, PublicationLink publication not None, *,
        uint8_t payload_type, int64_t highest, int64_t shift, int64_t timestamp_shift, int transport_cc_id,
        int audio_level_id=0
    ):
        """In-order packets of a known SSRC are this publication's: forward them as number + `shift`. Another SSRC
        that was followed for the publication is not any more."""
        cdef uint64_t key[3]
        key[0], key[1], key[2] = link.c.key, ssrc, 0
        cdef Stream *stream = <Stream *>_find(&self.streams, key)
        cdef Stream *former = publication.c.stream
        if stream == NULL:
            return
        if stream.publication != publication.c:
            self.unfollow(link, ssrc)
        if former != NULL and former != stream:
            former.publication = NULL
        stream.publication, publication.c.stream = publication.c, stream
        stream.payload_type = payload_type
        stream.transport_cc_id, stream.audio_level_id = transport_cc_id, audio_level_id
        stream.highest, stream.shift, stream.timestamp_shift = highest, shift, timestamp_shift
        link.streams[ssrc] = publication

    def unfollow(self, PeerLink link not None, uint32_t ssrc):
        """Python decides on every packet of the SSRC."""
        cdef uint64_t key[3]
        key[0], key[1], key[2] = link.c.key, ssrc, 0
        cdef Stream *stream = <Stream *>_find(&self.streams, key)
        if stream == NULL:
            return
        if stream.publication != NULL and stream.publication.stream == stream:
            stream.publication.stream = NULL
        stream.publication = NULL
        link.streams[ssrc] = None

    def unfollow_all(self, PeerLink link not None):
        for ssrc in link.streams:
            self.unfollow(link, ssrc)

    def open_publication(self, *, bint caching):
        cdef PublicationLink link = PublicationLink()
        link.plane = self
        link.c = <Publication *>calloc(1, sizeof(Publication))
        if link.c == NULL:
            raise MemoryError
        link.c.highest = link.c.queued = -1
        link.c.job = link.c.audio_level = -1
        if caching:
            link.c.cache = <Cached *>calloc(CACHE_PACKETS, sizeof(Cached))
            if link.c.cache == NULL:
                raise MemoryError
            for place in range(CACHE_PACKETS):
                link.c.cache[place].number = -1
        return link

    def subscribe(
        self, PublicationLink publication not None, PeerLink peer not None, user, tuple gates, gate_states, *,
        uint32_t ssrc, uint8_t payload_type, int64_t first_number, bytes head_extension, uint32_t rtx_ssrc,
        int rtx_payload_type, int64_t rtx_number, int transport_cc_at=0, int send_time_at=0, int level_at=0,
        uint8_t level_id=0, uint8_t descriptor_id=0
    ):
        """`gates` are given back by their place in FIRST; `gate_states` are their arrays. `rtx_payload_type` -1: no
        retransmission. The SSRC must be new to the peer."""
        cdef SubscriptionLink link = SubscriptionLink()
        cdef Subscription *to = link.c
        cdef uint64_t key[3]
        if len(gate_states) > 2 or len(head_extension) > sizeof(to.extension):
            raise ValueError("a subscription has at most two gates and 64 bytes of header extension")
        for place, size in ((transport_cc_at, 2), (send_time_at, 3), (level_at, 2)):
            if place < 0 or place and place + size > len(head_extension):
                raise ValueError("the header extension has no such place")
        if descriptor_id and len(head_extension) < 4:
            raise ValueError("there is no header extension for the descriptor to follow")
        for state in gate_states:
            PyObject_GetBuffer(state, &link.views[link.view_count], PyBUF_CONTIG)
            link.view_count += 1
            assert link.views[link.view_count - 1].len == 24
            to.gates[link.view_count - 1] = <int64_t *>link.views[link.view_count - 1].buf
        to.gate_count = link.view_count
        to.peer, to.publication, to.ssrc, to.payload_type = peer.c, publication.c, ssrc, payload_type
        to.rtx_ssrc, to.rtx_payload_type, to.rtx_number = rtx_ssrc, rtx_payload_type, rtx_number
        to.extension_bytes = <int>len(head_extension)
        memcpy(to.extension, PyBytes_AS_STRING(head_extension), to.extension_bytes)
        to.transport_cc_at, to.send_time_at, to.level_at = transport_cc_at, send_time_at, level_at
        to.level_id, to.descriptor_id = level_id, descriptor_id
        if transport_cc_at and peer.c.line == NULL:
            peer.c.line = _open_line()
        to.first_byte = 0x90 if to.extension_bytes else 0x80
        to.next_number, to.withheld, to.link, to.start = first_number, True, <PyObject *>link, -1
        link.user, link.gates, link.publication, link.peer, link.formers = user, gates, publication, peer, []
        _grow(publication.c)
        key[0], key[1], key[2] = peer.c.key, ssrc, 0
        _put(&self.subscriptions, key, to)
        publication.c.subscriptions[publication.c.count] = to
        publication.c.count += 1
        peer.subscriptions.add(link)
        return link

    def unsubscribe(self, SubscriptionLink link not None):
        """Before this returns, nothing that is still to be sent to it will be. May be called twice."""
        cdef uint64_t key[3]
        if link not in link.peer.subscriptions:
            return
        link.peer.subscriptions.discard(link)
        # The subscription knows its link: without this, a peer that has gone would wait, with its SRTP sessions, for a full
        # collection, which a live server hardly ever makes.
        link.user = None
        key[0], key[1], key[2] = link.peer.c.key, link.c.ssrc, 0
        if _find(&self.subscriptions, key) == link.c:
            _drop(&self.subscriptions, key)
        for index in self.ports:
            _forget_waiting((<Port>self.ports[index]).c, link.c)
        self._unmark(link.c)
        self._leave(link.c)
        for stream in (<uintptr_t>link.c.stream, <uintptr_t>link.c.repairs):
            if stream:
                seal_stream_close(link.c.peer.seal, <seal_stream *><uintptr_t>stream)
        link.c.stream = link.c.repairs = NULL

    cdef void _leave(self, Subscription *to) noexcept:
        """Take a subscription from its publication's."""
        cdef Publication *publication = to.publication
        cdef int at = _place_of(to)
        publication.count -= 1
        memmove(&publication.subscriptions[at], &publication.subscriptions[at + 1],
                (publication.count - at) * sizeof(Subscription *))
        if self.job_count:
            job = &self.jobs[self.job_first]
            if job.publication == publication and job.cursor > at:
                job.cursor -= 1

    def newest(self, PublicationLink link not None):
        """The payload of the newest packet that was taken in; b"" when it is not kept."""
        cdef Publication *publication = link.c
        cdef Received *packet
        cdef Cached *slot
        cdef Job *job
        cdef int place
        cdef int at
        for place in range(self.job_count):
            job = &self.jobs[(self.job_first + place) % JOBS]
            for at in range(job.count if job.publication == publication else 0):
                packet = &self.packets[job.buffers[at]]
                if packet.number == publication.queued:
                    data = <char *>self.buffers + job.buffers[at] * BUFFER_BYTES + packet.start
                    return PyBytes_FromStringAndSize(data, packet.size)
        if publication.cache == NULL or publication.queued < 0:
            return b""
        slot = &publication.cache[publication.queued & (CACHE_PACKETS - 1)]
        if slot.number != publication.queued:
            return b""
        return PyBytes_FromStringAndSize(<char *>slot.data + slot.descriptor_bytes, slot.size)

    cdef void _catch_up(self, Subscription *to) noexcept nogil:
        """Serve one subscription what its publication has taken in."""
        cdef int64_t highest = to.publication.highest
        cdef Job *job
        cdef int place
        for place in range(self.job_count):
            job = &self.jobs[(self.job_first + place) % JOBS]
            if job.publication == to.publication and (place or job.cursor <= _place_of(to)):
                highest = self._serve(to, job, highest)
        self._flush()

    def move(
        self, SubscriptionLink link not None, PublicationLink publication not None, *, int64_t start, uint32_t timestamp,
        uint16_t picture_id, uint8_t tl0_picture_index, uint8_t key_index
    ):
        """From here on the subscription is one of this publication, beginning with packet `start`; the rest is its
        splice. If it has resumed its former one and that was not told yet: what RESUMED tells, else None."""
        cdef Subscription *to = link.c
        if link not in link.peer.subscriptions:
            return None
        _grow(publication.c)
        self._begin()
        with nogil:
            self._catch_up(to)
        resumed = None
        if to.marks & (WAS_RESUMED | WAS_MOVED):
            resumed = to.packets_before, to.octets_before, bool(to.marks & WAS_RESUMED)
            to.marks &= ~(WAS_RESUMED | WAS_MOVED)
            if to.marks == 0:
                self._unmark(to)
        _withhold(to, to.publication.queued)
        self._leave(to)
        if link.publication not in link.formers:
            link.formers.append(link.publication)
        link.formers = [kept for kept in link.formers if _leads_to(to, (<PublicationLink>kept).c)]
        link.publication, to.publication, to.start = publication, publication.c, start
        to.splice = Splice(
            timestamp=timestamp, picture_id=picture_id, tl0_picture_index=tl0_picture_index, key_index=key_index,
            changes_payload=bool(picture_id or tl0_picture_index or key_index),
        )
        publication.c.subscriptions[publication.c.count] = to
        publication.c.count += 1
        return resumed

    def passing(self, SubscriptionLink link not None, int64_t now_ns):
        """Whether packets have been passing and still may."""
        return bool(_passing(link.c, self.lease[0], now_ns))

    # --- what Python calls for packets ---

    def drain(self, Port port not None):
        """One wake-up of the port's socket; the list of what Python must see (see `_told`)."""
        self._begin()
        with nogil:
            self._receive(port.c)
            self._work()
            self._flush()
        return self._told()

    def accept(self, Port port not None, tuple address, bytes data):
        """A datagram that was read elsewhere, as if `drain` had; for tests. False when no buffer is free."""
        cdef sockaddr_storage source
        cdef int size = <int>min(<Py_ssize_t>len(data), BUFFER_BYTES)
        cdef int buffer
        host = _host(address)
        flow, scope = (address[2], address[3]) if len(address) > 2 else (0, 0)
        tollroom_sockaddr(&source, <const uint8_t *>PyBytes_AS_STRING(host), <int>len(host), address[1], flow, scope)
        if self.free_count == 0 or self.item_count > ITEMS - KEYFRAMES_PER_DATAGRAM_MAX - 1:
            return False
        self._measure_clock()
        buffer = self._take_buffer()
        memcpy(self.buffers + buffer * BUFFER_BYTES, PyBytes_AS_STRING(data), size)
        with nogil:
            self._datagram(port.c, &source, buffer, size)
        return True

    def take(self, PeerLink link not None, bytes data):
        """A packet of this peer that came by another way than a socket of ours; `work` goes on with it. False, and
        nothing is done, when there is no room for it before `work` was called."""
        cdef int size = <int>min(<Py_ssize_t>len(data), BUFFER_BYTES)
        cdef int buffer
        if link not in self.links:
            return True  # closed: it goes nowhere
        if self.free_count == 0 or self.item_count > ITEMS - KEYFRAMES_PER_DATAGRAM_MAX - 1:
            return False
        self._measure_clock()
        buffer = self._take_buffer()
        memcpy(self.buffers + buffer * BUFFER_BYTES, PyBytes_AS_STRING(data), size)
        with nogil:
            if 0 < size <= DATAGRAM_BYTES_MAX:
                self._of_peer(link.c, buffer, size)
            else:
                self._give_back(buffer)
        return True

    def forward(self, PublicationLink link not None, int64_t number, uint32_t timestamp, bint marker, bint padding,
                bytes payload, *, int audio_level=-1, bint voice=False, bytes descriptor=b""):
        """Take in a packet that Python has decided on; `work` sends it. When no room is left it is lost."""
        cdef Received *packet
        cdef int buffer
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Py_ssize_t start = PyBytes_GET_SIZE(descriptor)
        if self.free_count == 0 or size > DATAGRAM_BYTES_MAX or start > DESCRIPTOR_BYTES_MAX:
            self.dropped += 1
            return
        buffer = self._take_buffer()
        memcpy(self.buffers + buffer * BUFFER_BYTES, PyBytes_AS_STRING(descriptor), start)
        memcpy(self.buffers + buffer * BUFFER_BYTES + start, PyBytes_AS_STRING(payload), size)
        packet = &self.packets[buffer]
        packet.descriptor_bytes, packet.start, packet.size = <int>start, <int>start, <int>size
        packet.number, packet.timestamp = number, timestamp
        packet.marker, packet.padding = 0x80 if marker else 0, 0x20 if padding else 0
        packet.audio_level, packet.voice = audio_level, 0x80 if voice else 0
        if not self._queue(link.c, buffer):
            self._give_back(buffer)

    def work(self):
        """Go on with what was read and taken in, for BUDGET_NS at most; the list of what Python must see."""
        self._begin()
        with nogil:
            self._look_at_incoming()
            self._work()
            self._flush()
        return self._told()

    def resend(self, SubscriptionLink link not None, lost):
        """Answer a NACK for 16-bit outgoing sequence numbers."""
        cdef uint16_t sequences[NACKS_MAX]
        cdef int count = 0
        for sequence in lost[:NACKS_MAX]:
            sequences[count] = sequence
            count += 1
        self._begin()
        with nogil:
            self._resend(link.c, sequences, count)
            self._flush()

    def pad(self, SubscriptionLink link not None, int size):
        """Probe the line with about `size` bytes of padding; how many were sent."""
        cdef int sent
        self._begin()
        with nogil:
            sent = self._pad(link.c, size)
            self._flush()
        return sent

    def writable(self, Port port not None):
        """The socket takes messages again."""
        self._begin()
        with nogil:
            self._flush_waiting(port.c)

    @property
    def backlog(self):
        """Jobs that are to be gone on with now, or datagrams that were read and not looked at."""
        return self.job_count - self.held + self.incoming_count - self.incoming_at

    @property
    def free(self):
        return self.free_count

    cdef int _begin(self) except -1:
        cdef Publication *publication
        cdef int place
        self.call += 1
        self._measure_clock()
        self.began_ns = _read_clock(CLOCK_MONOTONIC)
        while self.to_free != NULL:
            publication, self.to_free = self.to_free, self.to_free.next_free
            for place in range(self.job_count):
                job = &self.jobs[(self.job_first + place) % JOBS]
                if job.publication == publication:
                    job.publication = NULL
            _free_publication(publication)
        return 0

    cdef int _measure_clock(self) except -1:
        if not self.stepped:
            self.ahead_ns = <int64_t>self.now_ns() - _read_clock(CLOCK_BOOTTIME)
        return 0

    cdef int64_t _asked_clock(self) noexcept with gil:
        return <int64_t>self.now_ns()

    cdef inline int64_t _now(self) noexcept nogil:
        if self.stepped:
            return self._asked_clock()
        return _read_clock(CLOCK_BOOTTIME) + self.ahead_ns

    cdef inline bint _late(self) noexcept nogil:
        return _read_clock(CLOCK_MONOTONIC) - self.began_ns >= BUDGET_NS

    cdef list _told(self):
        """The items of this call, for Python, in order:

        (STUN, port index, address, data) · (DATAGRAM, peer's user, data) as it came · (RTP | RTCP, user, data, now)
        decrypted · (FORWARDED, user, [(ssrc, number, timestamp, transport-wide number or -1, now), ...]) ·
        (KEYFRAME, user, ssrc, now) · (FIRST, subscription's user, gate, now) ·
        (RESUMED, subscription's user, packets before, octets before, whether it needs a keyframe)
        """
        cdef list told = []
        cdef list forwarded = None  # of one peer, one after the other
        cdef Peer *forwarding = NULL
        cdef Item *item
        cdef Subscription *to
        cdef int place
        # First of the subscriptions: Python may yet move one for an item.
        while self.marked != NULL:
            to = self.marked
            self.marked = to.next_marked
            link = <SubscriptionLink>to.link
            for place in range(to.gate_count):
                if to.marks & FIRST_OF_GATE << place:
                    told.append((FIRST, link.user, link.gates[place], to.first_ns))
            if to.marks & (WAS_RESUMED | WAS_MOVED):
                needs = bool(to.marks & WAS_RESUMED)
                told.append((RESUMED, link.user, to.packets_before, to.octets_before, needs))
            to.marks = 0
        for place in range(self.item_count):
            item = &self.items[place]
            if item.kind == C_FORWARDED:
                if item.peer != forwarding:
                    forwarding, forwarded = item.peer, []
                    told.append((FORWARDED, (<PeerLink>item.peer.link).user, forwarded))
                forwarded.append((item.ssrc, item.number, item.timestamp, item.transport_cc, item.now_ns))
                continue
            forwarding = NULL
            told.append(self._item(item))
            if item.buffer >= 0:
                self._give_back(item.buffer)
        self.item_count = 0
        return told

    cdef tuple _item(self, Item *item):
        if item.kind == C_STUN:
            return STUN, item.number, _address_of(&item.source), self._bytes(item)
        user = (<PeerLink>item.peer.link).user
        if item.kind == C_DATAGRAM:
            return DATAGRAM, user, self._bytes(item)
        if item.kind == C_RTP:
            return RTP, user, self._bytes(item), item.now_ns
        if item.kind == C_RTCP:
            return RTCP, user, self._bytes(item), item.now_ns
        return KEYFRAME, user, item.ssrc, item.now_ns

    cdef bytes _bytes(self, Item *item):
        return PyBytes_FromStringAndSize(<char *>self.buffers + item.buffer * BUFFER_BYTES, item.size)

    cdef void _forget_items(self, Peer *peer) noexcept:
        """A peer is closed: what was to be told of it is not."""
        cdef int place
        cdef int kept = 0
        for place in range(self.item_count):
            if self.items[place].peer == peer:
                if self.items[place].buffer >= 0:
                    self._give_back(self.items[place].buffer)
            else:
                self.items[kept] = self.items[place]
                kept += 1
        self.item_count = kept

    cdef void _mark(self, Subscription *to, int mark) noexcept nogil:
        if to.marks == 0:
            to.next_marked = NULL
            if self.marked == NULL:
                self.marked = to
            else:
                self.last_marked.next_marked = to
            self.last_marked = to
        to.marks |= mark

    cdef void _unmark(self, Subscription *to) noexcept nogil:
        cdef Subscription **at = &self.marked
        cdef Subscription *before = NULL
        while at[0] != NULL:
            if at[0] == to:
                at[0] = to.next_marked
                if self.last_marked == to:
                    self.last_marked = before
                return
            before, at = at[0], &at[0].next_marked

    # --- buffers ---

    cdef inline int _take_buffer(self) noexcept nogil:
        self.free_count -= 1
        return self.free_buffers[self.free_count]

    cdef inline void _give_back(self, int buffer) noexcept nogil:
        tollroom_unfence(self.buffers + buffer * BUFFER_BYTES, BUFFER_BYTES)
        self.free_buffers[self.free_count] = buffer
        self.free_count += 1

    cdef void _give_back_incoming(self) noexcept nogil:
        while self.incoming_at < self.incoming_count:
            self._give_back(self.incoming_buffers[self.incoming_at])
            self.incoming_at += 1

    # --- in ---

    cdef void _receive(self, CPort *port) noexcept nogil:
        """What was read before comes first; then one recvmmsg, if a whole batch has room."""
        cdef int place
        cdef int buffer
        if self.incoming_at >= self.incoming_count:
            self.incoming_at = self.incoming_count = 0
            if self.free_count < BATCH + ITEMS or self.job_count > JOBS - 2 * BATCH:
                return
            self.incoming_port = port
            for place in range(BATCH):
                self.incoming_buffers[place] = self.free_buffers[self.free_count - 1 - place]
                memset(&self.incoming[place], 0, sizeof(mmsghdr))
                self.incoming_parts[place].iov_base = self.buffers + self.incoming_buffers[place] * BUFFER_BYTES
                self.incoming_parts[place].iov_len = BUFFER_BYTES
                self.incoming[place].msg_hdr.msg_iov = &self.incoming_parts[place]
                self.incoming[place].msg_hdr.msg_iovlen = 1
                self.incoming[place].msg_hdr.msg_name = &self.sources[place]
                self.incoming[place].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
            place = recvmmsg(port.fd, self.incoming, BATCH, MSG_DONTWAIT, NULL)
            if place <= 0:  # nothing there, or an ICMP error of an earlier send
                return
            self.incoming_count = place
            self.free_count -= place
        self._look_at_incoming()

    cdef void _look_at_incoming(self) noexcept nogil:
        cdef int place
        cdef int size
        while self.incoming_at < self.incoming_count:
            if self.item_count > ITEMS - KEYFRAMES_PER_DATAGRAM_MAX - 1:
                return
            place = self.incoming_at
            self.incoming_at += 1
            size = <int>self.incoming[place].msg_len
            if self.incoming[place].msg_hdr.msg_flags & MSG_TRUNC:
                size = BUFFER_BYTES
            self._datagram(self.incoming_port, &self.sources[place], self.incoming_buffers[place], size)
            if self._late():
                return

    cdef void _datagram(self, CPort *port, sockaddr_storage *source, int buffer, int size) noexcept nogil:
        """Owns the buffer: it goes into an item or a job, or back."""
        cdef uint8_t *data = self.buffers + buffer * BUFFER_BYTES
        cdef uint64_t key[3]
        cdef Peer *peer
        cdef Item *item
        if 0 < size <= DATAGRAM_BYTES_MAX and tollroom_address(source, key):
            if data[0] <= 3:
                item = self._tell(C_STUN, buffer, size, NULL)
                item.source, item.number = source[0], port.index
                return
            key[2] |= <uint64_t>port.index << 48
            peer = <Peer *>_find(&self.peers, key)
            if peer != NULL:
                self._of_peer(peer, buffer, size)
                return
        port.dropped += 1
        self._give_back(buffer)

    cdef void _of_peer(self, Peer *peer, int buffer, int size) noexcept nogil:
        """What came from a verified address or connection. Owns the buffer."""
        cdef uint8_t *data = self.buffers + buffer * BUFFER_BYTES
        tollroom_fence(data + size, BUFFER_BYTES - size)
        if 20 <= data[0] < 64:
            self._tell(C_DATAGRAM, buffer, size, peer)
        elif not 128 <= data[0] < 192 or size < 8 or not self._secure(peer, data, buffer, size):
            self._give_back(buffer)

    cdef Item *_tell(self, int kind, int buffer, int size, Peer *peer) noexcept nogil:
        cdef Item *item = &self.items[self.item_count]
        self.item_count += 1
        item.kind, item.buffer, item.size, item.peer = kind, buffer, size, peer
        return item

    cdef bint _secure(self, Peer *peer, uint8_t *data, int buffer, int size) noexcept nogil:
        """SRTP or SRTCP from a peer's address. True when the buffer was taken."""
        cdef bint control = 192 <= data[1] <= 223  # RFC 5761 section 4
        cdef uint64_t key[3]
        cdef Stream *stream
        cdef int length = size
        if peer.incoming == NULL or (not control and size < 12):
            return False
        key[0], key[1], key[2] = peer.key, _read32(data + (4 if control else 8)), 0
        stream = <Stream *>_find(&self.streams, key)
        if stream == NULL:  # Python admits new SSRCs, or does not
            self._ask(C_DATAGRAM, peer, buffer, size)
            return True
        if (self.unprotect_rtcp if control else self.unprotect)(peer.incoming, data, &length):
            return False
        peer.heard_ns = self._now()
        peer.packets_in += 1
        peer.bytes_in += size
        if not control:
            peer.rtp_ns = peer.heard_ns
            return not peer.feedback and self._media(peer, stream, data, buffer, length)
        if peer.feedback:
            self._feedback(peer, data, length, False)
            return False
        self._tell(C_RTCP, buffer, length, peer).now_ns = peer.heard_ns
        return True

    cdef void _ask(self, int kind, Peer *peer, int buffer, int size) noexcept nogil:
        """Python decides on this packet, and on all later RTP of the peer in this call."""
        self._tell(kind, buffer, size, peer).now_ns = peer.heard_ns
        peer.asked = self.call

    cdef bint _media(self, Peer *peer, Stream *stream, uint8_t *data, int buffer, int size) noexcept nogil:
        """A decrypted RTP packet: straight on when it is the next of a followed stream. True when the buffer was
        taken."""
        cdef Received *packet = &self.packets[buffer]
        cdef int transport_cc
        cdef int64_t number
        cdef Item *item
        if not _parse_rtp(data, size, packet, stream, &transport_cc):
            return False
        number = _unwrap(<int>_read16(data + 2), stream.highest)
        if (stream.publication == NULL or peer.asked == self.call or number <= stream.highest
                or data[1] & 0x7F != stream.payload_type):
            self._ask(C_RTP, peer, buffer, size)
            return True
        item = self._tell(C_FORWARDED, -1, 0, peer)
        item.ssrc, item.number, item.timestamp = stream.ssrc, number, packet.timestamp
        item.transport_cc, item.now_ns = transport_cc, peer.heard_ns
        stream.highest = number
        packet.number = number + stream.shift
        packet.timestamp += <uint32_t>stream.timestamp_shift
        return self._queue(stream.publication, buffer)

    cdef bint _queue(self, Publication *publication, int buffer) noexcept nogil:
        """Into the publication's job of this call. False when there is no room: the packet is lost."""
        cdef Job *job
        cdef int level = self.packets[buffer].audio_level
        if level >= 0 and (publication.audio_level < 0 or level < publication.audio_level):
            publication.audio_level = level
        if publication.job < 0 or self.jobs[publication.job].count == JOB_PACKETS:
            if self.job_count == JOBS:
                self.dropped += 1
                return False
            publication.job = (self.job_first + self.job_count) % JOBS
            self.job_count += 1
            job = &self.jobs[publication.job]
            job.publication, job.count, job.cursor, job.started = publication, 0, 0, False
            job.seen_ns = 0
        job = &self.jobs[publication.job]
        job.buffers[job.count] = buffer
        job.count += 1
        self.held = 0  # whether this ends the waiting, `_work` looks
        publication.queued = max(publication.queued, self.packets[buffer].number)
        publication.octets += self.packets[buffer].size
        return True

    # --- a viewer's RTCP (RFC 3550 section 6, RFC 4585); the same reading as in rtcp.py ---

    cdef void _feedback(self, Peer *peer, uint8_t *data, int size, bint answered) noexcept nogil:
        """`answered`: what it asks for was answered elsewhere, and only what it tells is of interest."""
        cdef int at = 0
        cdef int end
        cdef int length
        cdef int lost = 0
        cdef int keyframes = 0
        while at + 4 <= size and data[at] >> 6 == 2:
            length = 4 + 4 * <int>_read16(data + at + 2)
            if at + length > size:
                return
            end = at + length
            if data[at] & 0x20 and length > 4:
                end = max(at + 4, end - data[end - 1])
            if end - at >= 8 and data[at + 1] == 201:
                self._report(peer, data + at, end - at)
            elif end - at >= 12 and data[at + 1] == 205:
                if data[at] & 0x1F == 1 and not answered:
                    lost += self._nack(peer, data + at + 8, end - at - 8, NACKS_MAX - lost)
                elif data[at] & 0x1F == 15 and peer.line != NULL:
                    _transport_feedback(peer.line, data + at + 4, end - at - 4, peer.heard_ns)
            elif end - at >= 24 and data[at] & 0x1F == 15 and data[at + 1] == 206:
                _told_bitrate(peer, data + at + 4)
            elif end - at >= 12 and data[at + 1] == 206 and not answered:
                keyframes += self._keyframes(peer, data + at, end - at, KEYFRAMES_PER_DATAGRAM_MAX - keyframes)
            at += length

    cdef void _report(self, Peer *peer, uint8_t *packet, int size) noexcept nogil:
        """RFC 3550 section 6.4.2: the most that was lost of any of its subscriptions."""
        cdef int at = 8
        cdef int loss = 0
        peer.reports += 1
        while at + 24 <= size and at < 8 + 24 * (packet[0] & 0x1F):
            if self._own(peer, packet + at) != NULL:
                loss = max(loss, <int>packet[at + 4])
            at += 24
        peer.told_loss = loss

    cdef Subscription *_own(self, Peer *peer, uint8_t *ssrc) noexcept nogil:
        """The peer's own subscription of this SSRC, while packets pass to it."""
        cdef uint64_t key[3]
        cdef Subscription *to
        key[0], key[1], key[2] = peer.key, _read32(ssrc), 0
        to = <Subscription *>_find(&self.subscriptions, key)
        return to if to != NULL and _passing(to, self.lease[0], peer.heard_ns) else NULL

    cdef int _nack(self, Peer *peer, uint8_t *body, int size, int room) noexcept nogil:
        """RFC 4585 section 6.2.1, from the media SSRC on. How many packets it named."""
        cdef uint16_t sequences[NACKS_MAX]
        cdef int count = 0
        cdef int at = 4
        cdef int bit
        cdef uint32_t mask
        cdef Subscription *to = self._own(peer, body)
        while at + 4 <= size and count < room:
            sequences[count] = <uint16_t>_read16(body + at)
            count += 1
            mask = _read16(body + at + 2)
            for bit in range(16):
                if mask >> bit & 1 and count < room:
                    sequences[count] = <uint16_t>(_read16(body + at) + bit + 1)
                    count += 1
            at += 4
        if to != NULL:
            self._resend(to, sequences, count)
        return count

    cdef int _keyframes(self, Peer *peer, uint8_t *packet, int size, int room) noexcept nogil:
        """PLI (RFC 4585 section 6.3.1) and FIR (RFC 5104 section 4.3.1). How many were told."""
        cdef int count = 0
        cdef int at = 12
        if packet[0] & 0x1F == 1:
            return self._keyframe(peer, packet + 8, room)
        while packet[0] & 0x1F == 4 and at + 8 <= size:
            count += self._keyframe(peer, packet + at, room - count)
            at += 8
        return count

    cdef int _keyframe(self, Peer *peer, uint8_t *ssrc, int room) noexcept nogil:
        cdef Item *item
        cdef Subscription *to = self._own(peer, ssrc)
        if room <= 0 or to == NULL or peer.heard_ns - to.keyframe_ns < KEYFRAME_SPACING_NS:
            return 0
        to.keyframe_ns = peer.heard_ns
        item = self._tell(C_KEYFRAME, -1, 0, peer)
        item.ssrc, item.now_ns = _read32(ssrc), peer.heard_ns
        return 1

    cdef void _resend(self, Subscription *to, uint16_t *sequences, int count) noexcept nogil:
        """RFC 4588 section 4: own SSRC, payload type and numbers; the original number leads the payload."""
        cdef int64_t reference = to.publication.highest - to.offset
        cdef int64_t outgoing
        cdef int64_t now_ns
        cdef Former stretch
        cdef Cached *packet
        cdef int place
        if to.rtx_payload_type < 0 or to.withheld:
            return
        for place in range(count):
            outgoing = _unwrap(sequences[place], reference)
            now_ns = self._now()
            if not _passing(to, self.lease[0], now_ns) or not _may_resend(to, now_ns):
                return
            if not _sent_as(to, outgoing, &stretch) or stretch.publication.cache == NULL:
                continue
            packet = &stretch.publication.cache[(outgoing + stretch.offset) & (CACHE_PACKETS - 1)]
            if packet.number == outgoing + stretch.offset >= 0 and _may_repair(
                to, outgoing, packet.size, now_ns, stretch.publication != to.publication
            ):
                self._repeat(to, packet, &stretch.splice, sequences[place], now_ns)

    cdef void _repeat(
        self, Subscription *to, Cached *packet, Splice *splice, uint16_t sequence, int64_t now_ns
    ) noexcept nogil:
        cdef uint8_t *at = self._room(to)
        cdef int start = 12 + to.extension_bytes + _described_bytes(to, packet.descriptor_bytes)
        cdef int size = start + 2 + packet.size
        if at == NULL or size > DATAGRAM_BYTES_MAX:
            return
        at[0] = to.first_byte | (packet.flags & 0x20)
        at[1] = (packet.flags & 0x80) | <uint8_t>to.rtx_payload_type
        _write16(at + 2, <uint32_t>(to.rtx_number & 0xFFFF))
        _write32(at + 4, packet.timestamp + splice.timestamp)
        _write32(at + 8, to.rtx_ssrc)
        _stamp(to, at + 12, -1, now_ns)
        _write16(at + start, sequence)
        if start > 12 + to.extension_bytes:
            _describe(to, at + 12, packet.data, packet.descriptor_bytes)
        memcpy(at + start + 2, packet.data + packet.descriptor_bytes, packet.size)
        if splice.changes_payload:
            _shift_ids(at + start + 2, packet.size, splice)
        self._seal(to, at, start, at + start, 2 + packet.size, to.rtx_number, REPEAT, now_ns)
        to.rtx_number += 1

    cdef int _pad(self, Subscription *to, int size) noexcept nogil:
        """Packets of nothing on the retransmission stream, while gates and lease let packets pass and one has."""
        cdef int sent = 0
        cdef int start = 12 + to.extension_bytes
        cdef int64_t now_ns
        cdef uint8_t *at
        while sent < size and to.rtx_payload_type >= 0 and _running(to):
            now_ns = self._now()
            at = self._room(to)
            if at == NULL or now_ns >= _open_until(to, self.lease[0], now_ns):
                break
            at[0] = to.first_byte | 0x20
            at[1] = <uint8_t>to.rtx_payload_type
            _write16(at + 2, <uint32_t>(to.rtx_number & 0xFFFF))
            _write32(at + 4, 0)
            _write32(at + 8, to.rtx_ssrc)
            _stamp(to, at + 12, -1, now_ns)
            memset(at + start, 0, PADDING_BYTES)
            at[start + PADDING_BYTES - 1] = PADDING_BYTES
            self._seal(to, at, start, at + start, PADDING_BYTES, to.rtx_number, PADDING, now_ns)
            to.rtx_number += 1
            sent += start + PADDING_BYTES
        return sent

    # --- out ---

    cdef void _work(self) noexcept nogil:
        """Serve jobs until they are done or the time is up; the job under way goes on in the next call. What is held goes
        behind the others."""
        cdef Job *job
        self.held = 0
        while self.job_count > self.held:
            job = &self.jobs[self.job_first]
            if self._waits(job):
                self._put_last(job)
                self.held += 1
                continue
            if not job.started:
                self._start(job)
            while job.publication != NULL and job.cursor < job.publication.count:
                _fetch_ahead(&job.publication.subscriptions[job.cursor], job.publication.count - job.cursor)
                self._serve(job.publication.subscriptions[job.cursor], job, job.publication.highest)
                job.cursor += 1
                if self._late():
                    return
            self._finish(job)

    cdef inline bint _waits(self, Job *job) noexcept nogil:
        """For the rest of a picture: its last packet has the marker, and mostly comes within half a millisecond. A message to
        each of many viewers costs more than the wait (docs/benchmarks.md). Not while room runs out."""
        if job.seen_ns == 0:
            job.seen_ns = self.began_ns
        return (
            not job.started and job.publication != NULL and job.publication.cache != NULL
            and job.publication.count >= HELD_VIEWERS_LEAST and job.count < HELD_PACKETS_MAX
            and not self.packets[job.buffers[job.count - 1]].marker and self.began_ns - job.seen_ns < HELD_NS
            and self.free_count >= POOL // 2 and self.job_count < JOBS // 2
        )

    cdef void _put_last(self, Job *job) noexcept nogil:
        """A job that nobody was served of yet, which is the newest of its publication."""
        cdef int place = (self.job_first + self.job_count) % JOBS
        self.jobs[place] = job[0]
        if job.publication.job == self.job_first:
            job.publication.job = place
        self.job_first = (self.job_first + 1) % JOBS

    cdef void _start(self, Job *job) noexcept nogil:
        """From here on the packets can be asked for again."""
        cdef Publication *publication = job.publication
        cdef Received *packet
        cdef Cached *slot
        cdef uint8_t *data
        cdef int size
        cdef int place
        job.started = True
        if publication == NULL:
            return
        if publication.job == self.job_first:
            publication.job = -1
        if publication.cache == NULL:
            return
        self._equalize(job)
        for place in range(job.count):
            packet = &self.packets[job.buffers[place]]
            slot = &publication.cache[packet.number & (CACHE_PACKETS - 1)]
            slot.number = -1
            size = packet.descriptor_bytes + packet.size
            if slot.room < size:
                free(slot.data)
                slot.room = (size + 127) & ~127
                slot.data = <uint8_t *>malloc(slot.room)
                if slot.data == NULL:
                    slot.room = 0
                    continue
            data = self.buffers + job.buffers[place] * BUFFER_BYTES + packet.start - packet.descriptor_bytes
            memcpy(slot.data, data, size)
            slot.number, slot.timestamp, slot.size = packet.number, packet.timestamp, packet.size
            slot.flags, slot.descriptor_bytes = packet.marker | packet.padding, packet.descriptor_bytes

    cdef void _equalize(self, Job *job) noexcept nogil:
        """Joined packets must be of one size, except that the last may be shorter. Browsers split a picture into parts that
        differ by a byte, the shorter ones first: these get it as RTP padding (RFC 3550 section 5.1), where their SRTP tag was."""
        cdef Received *packet
        cdef Received *after
        cdef int missing
        cdef int place
        for place in range(job.count - 2, -1, -1):
            packet, after = &self.packets[job.buffers[place]], &self.packets[job.buffers[place + 1]]
            missing = after.size - packet.size
            if 0 < missing <= EQUALIZED_BYTES_MAX and packet.timestamp == after.timestamp and not packet.padding:
                memset(self.buffers + job.buffers[place] * BUFFER_BYTES + packet.start + packet.size, missing, missing)
                packet.size += missing
                packet.padding = 0x20

    cdef void _finish(self, Job *job) noexcept nogil:
        cdef int place
        for place in range(job.count):
            if job.publication != NULL:
                job.publication.highest = max(
                    job.publication.highest, self.packets[job.buffers[place]].number
                )
            self._give_back(job.buffers[place])
        self.job_first = (self.job_first + 1) % JOBS
        self.job_count -= 1

    cdef int64_t _serve(self, Subscription *to, Job *job, int64_t highest) noexcept nogil:
        """All packets of a job to one subscriber, one after the other so that they can leave joined, and at one time. `highest`
        is that of before; the one thereafter."""
        cdef int64_t now_ns = 0
        cdef int64_t out
        cdef Splice *splice
        cdef Former *late
        cdef Received *packet
        cdef int place
        for place in range(job.count):
            packet = &self.packets[job.buffers[place]]
            if place == 0 or self.stepped:
                now_ns = self._now()
            if self._admit(to, packet.number, highest, now_ns):
                out, splice = packet.number - to.offset, &to.splice
                if packet.number < to.base:
                    late = _late(to, packet.number, highest)
                    if late == NULL:
                        continue
                    out, splice = packet.number - late.offset, &late.splice
                self._emit(to, packet, self.buffers + job.buffers[place] * BUFFER_BYTES, out, splice, now_ns)
            highest = max(highest, packet.number)
        return highest

    cdef inline bint _admit(self, Subscription *to, int64_t number, int64_t highest, int64_t now_ns) noexcept nogil:
        """Whether the packet may pass now. The first one after an opening starts the allowance; the first one after
        a pause takes the number that follows the last before it."""
        cdef int place
        if now_ns >= _until(to, self.lease[0], now_ns) or (to.withheld and (number <= highest or number < to.start)):
            _withhold(to, highest)
            return False
        for place in range(to.gate_count):
            if to.gates[place][2] < 0:
                to.gates[place][2] = to.first_ns = now_ns
                self._mark(to, FIRST_OF_GATE << place)
        if to.withheld:
            to.withheld = False
            to.base, to.offset = number, number - to.next_number
            to.packets_before, to.octets_before = to.packets, to.octets
            self._mark(to, WAS_MOVED if number == to.start else WAS_RESUMED)
        return True

    cdef inline void _emit(
        self, Subscription *to, Received *packet, uint8_t *data, int64_t out, Splice *splice, int64_t now_ns
    ) noexcept nogil:
        cdef uint8_t *at = self._room(to)
        cdef int start = 12 + to.extension_bytes + _described_bytes(to, packet.descriptor_bytes)
        if at == NULL or start + packet.size > DATAGRAM_BYTES_MAX:
            return
        at[0] = to.first_byte | packet.padding
        at[1] = packet.marker | to.payload_type
        _write16(at + 2, <uint32_t>(out & 0xFFFF))
        _write32(at + 4, packet.timestamp + splice.timestamp)
        _write32(at + 8, to.ssrc)
        _stamp(to, at + 12, packet.audio_level | packet.voice if packet.audio_level >= 0 else -1, now_ns)
        if start > 12 + to.extension_bytes:
            _describe(to, at + 12, data + packet.start - packet.descriptor_bytes, packet.descriptor_bytes)
        data += packet.start
        if splice.changes_payload:
            data = <uint8_t *>memcpy(at + start, data, packet.size)
            _shift_ids(data, packet.size, splice)
        self._seal(to, at, start, data, packet.size, out, MEDIA, now_ns)

    cdef inline uint8_t *_room(self, Subscription *to) noexcept nogil:
        """Where the next packet is to be written; NULL when the subscriber has no way to be reached."""
        if to.peer.route == NULL or to.peer.outgoing == NULL:
            return NULL
        if self.arena_used + BUFFER_BYTES > ARENA_BYTES or to.peer.route.count == MESSAGES:
            self._flush()
        return self.arena + self.arena_used

    cdef inline void _seal(
        self, Subscription *to, uint8_t *at, int start, const uint8_t *payload, int size, int64_t number, int kind, int64_t now_ns
    ) noexcept nogil:
        """Encrypt the payload to behind its header of `start` bytes, and add the packet to the message before when that
        goes to the same subscriber. `number` does not wrap."""
        cdef CPort *port = to.peer.route
        cdef Message *message
        cdef int octets = size if kind == MEDIA else 0
        cdef int length = self._encrypt(to, at, start, payload, size, number, kind)
        if length < 0:  # a number used before or too old
            to.peer.failed += 1
            return
        if to.transport_cc_at:
            _note_sent(to.peer.line, start + size, now_ns)
        self.arena_used += length
        if port.count:
            message = &port.messages[port.count - 1]
            if (message.subscription == to and message.kind == kind and not message.closed and port.joins
                    and message.data + message.size == at and length <= message.segment <= SEGMENT_BYTES_MAX
                    and message.segments < SEGMENTS_MAX and message.size + length <= JOINED_BYTES_MAX):
                message.size += length
                message.segments += 1
                message.octets += octets
                message.closed = length < message.segment
                message.at_ns = now_ns
                return
        message = &port.messages[port.count]
        message.data, message.size, message.segment, message.segments = at, length, length, 1
        message.closed, message.kind, message.octets, message.at_ns = False, kind, octets, now_ns
        message.subscription = to
        if port.count == 0:
            self._note_sending(port)
        port.count += 1

    cdef inline int _encrypt(
        self, Subscription *to, uint8_t *at, int start, const uint8_t *payload, int size, int64_t number, int kind
    ) noexcept nogil:
        """How long the packet has become; -1 when it was refused."""
        cdef seal_stream **stream = &to.stream if kind == MEDIA else &to.repairs
        cdef int length = start + size
        if to.peer.seal == NULL:
            if payload != at + start:
                memcpy(at + start, payload, size)
            return -1 if self.protect(to.peer.outgoing, at, &length) else length
        if stream[0] == NULL:
            stream[0] = seal_stream_open(to.peer.seal, to.ssrc if kind == MEDIA else to.rtx_ssrc)
            if stream[0] == NULL:
                return -1
        return seal_packet(to.peer.seal, stream[0], number, at, start, payload, size)

    cdef void _note_sending(self, CPort *port) noexcept nogil:
        cdef int place
        for place in range(self.sending_count):
            if self.sending[place] == port:
                return
        if self.sending_count == PORTS_AT_ONCE:
            self._flush()
        self.sending[self.sending_count] = port
        self.sending_count += 1

    cdef void _flush(self) noexcept nogil:
        cdef CPort *port
        cdef int place
        for place in range(self.sending_count):
            port = self.sending[place]
            if port.fd < 0:
                self._write(port)
            else:
                self._send(port)
            port.count = 0
        self.sending_count = self.arena_used = 0

    cdef void _write(self, CPort *port) noexcept with gil:
        """Packets that go by TCP, each to its own connection."""
        cdef Message *message
        cdef int place
        for place in range(port.count):
            message = &port.messages[place]
            stream = (<PeerLink>message.subscription.peer.link).stream
            try:
                stream.send_to(PyBytes_FromStringAndSize(<char *>message.data, message.size), ())
            except OSError:  # too much waits there already, or it has ended
                stream.dropped += 1
            else:
                _count(port, message)

    cdef void _send(self, CPort *port) noexcept nogil:
        """All messages of a socket in as few `sendmmsg` as it allows."""
        cdef int at = 0
        cdef int sent
        cdef int place
        for place in range(port.count):
            self._prepare(place, &port.messages[place])
        while at < port.count and port.waiting_count == 0:
            sent = sendmmsg(port.fd, &self.outgoing[at], port.count - at, MSG_DONTWAIT)
            for place in range(sent):
                _count(port, &port.messages[at + place])
            if sent <= 0:
                sent = self._refused(port, &port.messages[at])
            at += sent
        for place in range(at, port.count):
            _wait(port, &port.messages[place])

    cdef void _prepare(self, int place, Message *message) noexcept nogil:
        cdef msghdr *head = &self.outgoing[place].msg_hdr
        memset(head, 0, sizeof(msghdr))
        self.outgoing_parts[place].iov_base = message.data
        self.outgoing_parts[place].iov_len = message.size
        head.msg_name = &message.subscription.peer.address
        head.msg_namelen = message.subscription.peer.address_bytes
        head.msg_iov = &self.outgoing_parts[place]
        head.msg_iovlen = 1
        if message.segments > 1:
            tollroom_segment(head, self.controls[place], <uint16_t>message.segment)

    cdef int _refused(self, CPort *port, Message *message) noexcept nogil:
        """A message was not sent, `errno` says why. How many messages are thereby dealt with."""
        cdef int problem = errno
        if problem == EINTR:
            return 0
        if problem == EAGAIN:
            _wait(port, message)
        elif message.segments > 1 and (problem == EIO or problem == EINVAL or problem == EMSGSIZE):
            port.joins = False
            self._send_singly(port, message)
        else:
            port.dropped += message.segments
        return 1

    cdef bint _send_singly(self, CPort *port, Message *message) noexcept nogil:
        """A joined message, packet by packet. When the socket is full, False, and what is left waits."""
        cdef Message part = message[0]
        cdef int left = message.size
        part.segments = 1
        while left:
            part.size = min(message.segment, left)
            self._prepare(0, &part)
            if sendmsg(port.fd, &self.outgoing[0].msg_hdr, MSG_DONTWAIT) >= 0:
                _count(port, &part)
            elif errno == EAGAIN:
                part.size, part.segments = left, (left + message.segment - 1) // message.segment
                _wait(port, &part)
                return False
            else:
                port.dropped += 1
            left -= part.size
            part.data += part.size
            part.octets = 0  # counted with the first
        return True

    cdef void _flush_waiting(self, CPort *port) noexcept nogil:
        """Oldest first; a message whose gate or lease has closed meanwhile is not sent."""
        cdef Message message
        while port.waiting_count:
            message = port.waiting[port.waiting_first]
            if message.data != NULL and not self._send_waiting(port, &message):
                return
            port.waiting_first = (port.waiting_first + 1) % WAITING_MAX
            port.waiting_count -= 1
            if message.data != NULL:
                port.waiting_bytes -= message.size
                free(message.data)

    cdef bint _send_waiting(self, CPort *port, Message *message) noexcept nogil:
        """False when the socket is still full."""
        cdef Subscription *to = message.subscription
        if to.peer.route != port or not _passing(to, self.lease[0], self._now()):
            port.dropped += message.segments
            return True
        if message.segments > 1 and not port.joins:
            return self._send_singly_waiting(port, message)
        self._prepare(0, message)
        if sendmsg(port.fd, &self.outgoing[0].msg_hdr, MSG_DONTWAIT) >= 0:
            _count(port, message)
        elif errno == EAGAIN:
            return False
        else:
            port.joins = port.joins and message.segments == 1
            port.dropped += message.segments
        return True

    cdef bint _send_singly_waiting(self, CPort *port, Message *message) noexcept nogil:
        """Rare (a socket that does not join, and was full): what does not go out now is lost."""
        cdef int count = port.waiting_count
        cdef int64_t size = port.waiting_bytes
        if not self._send_singly(port, message) and port.waiting_count > count:
            port.waiting_count -= 1
            port.waiting_bytes = size
            free(port.waiting[(port.waiting_first + count) % WAITING_MAX].data)
        return True


cdef inline void _fetch_ahead(Subscription **to, int count) noexcept nogil:
    """While the first of `count` subscriptions is served, let the processor bring near what the next ones need: it lies all
    over the memory, and each part is found by the one before it."""
    if count > 3:
        tollroom_fetch(to[3], <char *>&to[3].former - <char *>to[3])
    if count > 2:
        tollroom_fetch(to[2].peer, sizeof(Peer))
        tollroom_fetch(to[2].gates[0], 1)
        tollroom_fetch(to[2].gates[1], 1)
    if count > 1:
        tollroom_fetch(to[1].peer.line, 1)
        tollroom_fetch(to[1].stream, 1)
        if to[1].peer.seal != NULL:
            seal_fetch(to[1].peer.seal)


cdef void _told_bitrate(Peer *peer, uint8_t *body) noexcept nogil:
    """draft-alvestrand-rmcat-remb section 2.2."""
    cdef uint32_t word = _read32(body + 12)
    cdef uint64_t mantissa = word & 0x3FFFF
    cdef int exponent = word >> 18 & 0x3F
    if _read32(body + 8) == 0x52454D42 and word >> 24:  # "REMB", of at least one stream
        peer.told_bps = min(<double>(mantissa << min(exponent, 40)), MOST_BPS)


cdef void _count(CPort *port, Message *message) noexcept nogil:
    """A message was sent."""
    cdef Subscription *to = message.subscription
    if message.kind != PADDING:
        to.last_ns = max(to.last_ns, message.at_ns)
    to.peer.packets_out += message.segments
    to.peer.bytes_out += message.size
    port.joined += message.segments > 1
    if message.kind == MEDIA:
        to.packets += message.segments
        to.octets += message.octets


cdef void _wait(CPort *port, Message *message) noexcept nogil:
    """Keep a message until the socket is writable; when too much waits it is lost."""
    cdef uint8_t *copy
    cdef Message *kept
    if port.waiting_count == WAITING_MAX or port.waiting_bytes + message.size > WAITING_BYTES_MAX:
        port.dropped += message.segments
        return
    copy = <uint8_t *>malloc(message.size)
    if copy == NULL:
        port.dropped += message.segments
        return
    memcpy(copy, message.data, message.size)
    kept = &port.waiting[(port.waiting_first + port.waiting_count) % WAITING_MAX]
    kept[0] = message[0]
    kept.data = copy
    port.waiting_count += 1
    port.waiting_bytes += message.size
