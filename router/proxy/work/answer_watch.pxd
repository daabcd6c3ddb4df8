cimport cython

from router.proxy.http1.chunked cimport ChunkedBody

cdef Py_ssize_t _MERGED_BYTES


@cython.final
cdef class AnswerWatch:
    cdef public bint events
    cdef public Py_ssize_t outcome
    cdef public Py_ssize_t end
    cdef public object complaint
    cdef public bytes _previous
    cdef public bytes _last
    cdef public bytes _newest
    cdef public bint _settled
    cdef public bint content
    cdef public list _kept
    cdef public Py_ssize_t _kept_bytes
    cdef public int _kind
    cdef public int _status
    cdef public bint _retry_after
    cdef public object _options
    cdef public bint _framed
    cdef public ChunkedBody _chunks
    cdef public object _reader

    @cython.locals(last=bytes)
    cpdef bint add(self, bytes data) except -1
    cdef bint _read(self, bytes data) except -1
