# Encryption of outgoing RTP without libsrtp (seal.c), as `dataplane.pyx` uses it; and as tests see it.

cdef extern from "seal.h":
    ctypedef enum gcm_means:
        GCM_NONE
    ctypedef struct gcm_key:
        pass
    ctypedef struct sealer:
        pass
    ctypedef struct seal_stream:
        pass
    int GCM_TAG_BYTES, GCM_IV_BYTES
    gcm_means gcm_best()
    gcm_key *gcm_open(const uint8_t *key, int key_bytes, gcm_means means)
    void gcm_close(gcm_key *key)
    void gcm_seal(const gcm_key *key, const uint8_t *iv, uint8_t *packet, int head, const uint8_t *payload, int size)
    sealer *seal_open(const uint8_t *key, int key_bytes, const uint8_t *salt, gcm_means means)
    void seal_close(sealer *sealer) nogil
    seal_stream *seal_stream_open(sealer *sealer, uint32_t ssrc) nogil
    void seal_stream_close(sealer *sealer, seal_stream *stream) nogil
    void seal_fetch(const sealer *sealer) nogil
    int seal_packet(sealer *sealer, seal_stream *stream, int64_t number, uint8_t *packet, int head, const uint8_t *payload,
                    int size) nogil

cdef sealer *_open_sealer(bytes key, int means) except? NULL:
    """From master key and salt, one after the other. NULL: this machine cannot, and libsrtp has to."""
    cdef int size = <int>PyBytes_GET_SIZE(key) - GCM_IV_BYTES
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(key)
    if size != 16 and size != 32:
        raise ValueError("AES-GCM has keys of 16 or 32 bytes, and a salt of 12")
    return seal_open(at, size, at + size, <gcm_means>means)


def seal_means():
    """What this machine encrypts with: 0 libsrtp, 1 AES-NI, 2 AVX-512."""
    return <int>gcm_best()


cdef class Sealer:
    """For tests: packets of one sender."""

    cdef sealer *c
    cdef dict streams

    def __cinit__(self, bytes key, int means):
        self.c = _open_sealer(key, means)
        if self.c == NULL:
            raise MemoryError
        self.streams = {}

    def __dealloc__(self):
        seal_close(self.c)

    def open(self, uint32_t ssrc):
        self.streams[ssrc] = <uintptr_t>seal_stream_open(self.c, ssrc)

    def close(self, uint32_t ssrc):
        seal_stream_close(self.c, <seal_stream *><uintptr_t>self.streams.pop(ssrc))

    def seal(self, int64_t number, bytes head, bytes payload):
        """The packet, and behind it what was there before: its own bytes, when it is in its place. None: refused."""
        cdef int start = <int>len(head)
        cdef int size = <int>len(payload)
        cdef bytearray room = bytearray(head + payload + bytes(GCM_TAG_BYTES) + b"beyond")
        cdef int length = seal_packet(
            self.c, <seal_stream *><uintptr_t>self.streams[int.from_bytes(head[8:12], "big")], number,
            <uint8_t *>room, start, <const uint8_t *>PyBytes_AS_STRING(payload) if number & 1 else <uint8_t *>room + start, size
        )
        assert room.endswith(b"beyond")
        return None if length < 0 else bytes(room[:length])


def seal_bare(bytes key, bytes iv, bytes head, bytes payload, int means):
    """For tests: AES-GCM alone."""
    cdef bytearray room = bytearray(head + bytes(len(payload) + GCM_TAG_BYTES))
    cdef gcm_key *c = gcm_open(<const uint8_t *>PyBytes_AS_STRING(key), <int>len(key), <gcm_means>means)
    if c == NULL:
        raise MemoryError
    gcm_seal(c, <const uint8_t *>PyBytes_AS_STRING(iv), <uint8_t *>room, <int>len(head),
             <const uint8_t *>PyBytes_AS_STRING(payload), <int>len(payload))
    gcm_close(c)
    return bytes(room[len(head):])
