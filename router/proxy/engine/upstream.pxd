cimport cython

from router.proxy.engine.exchange cimport Exchange
from router.proxy.context cimport WorkerContext
from router.proxy.engine.pool cimport Pool
from router.proxy.http1.chunked cimport ChunkedBody
from router.proxy.http1.response_head cimport ResponseHead

cdef Py_ssize_t _LARGE_READ_BYTES

@cython.final
cdef class Upstream:
    cdef public WorkerContext _context
    cdef public Pool pool
    cdef public Py_ssize_t used
    cdef public double idle_since_s
    cdef public double idle_max_s
    cdef public object _transport
    cdef public bint _paused
    cdef public bint _reading_deferred
    cdef public Exchange exchange
    cdef public bytes _buffer
    cdef public ResponseHead _head
    cdef public Py_ssize_t _remaining
    cdef public ChunkedBody _chunks
    cdef public int _interim
    cdef public bytes first_read

    cpdef send(self, bytes data)
    cpdef pause(self)
    cpdef resume(self)
    cdef _defer_reading(self)
    cpdef take_turn(self)
    cpdef close(self)
    cpdef abort(self)
    cpdef bint shows_eof(self) except -1
    @cython.locals(end=Py_ssize_t, limit=Py_ssize_t, bodyless=bint, head=ResponseHead, text=cython.p_char, rest=bytes)
    cdef _receive_head(self, Exchange exchange, bytes data)
    cdef _interim_response(self, Exchange exchange, ResponseHead head)
    cdef _receive_body(self, Exchange exchange, bytes data)
    cdef _finish(self, Exchange exchange, bytes data, bint reusable)
    @cython.locals(head=ResponseHead)
    cdef _end(self, Exchange exchange, bint reusable)
    cdef _detach(self)
    cdef _reset(self)
