cimport cython

from router.proxy.engine.exchange cimport Exchange
from router.proxy.context cimport WorkerContext
from router.proxy.http1.request_head cimport RequestHead
from router.proxy.engine.local_service cimport LocalService

cdef Py_ssize_t _ACCEPTED, _LARGE_READ_BYTES


@cython.final
cdef class Downstream:
    cdef public WorkerContext context
    cdef public object _admission
    cdef public object peer
    cdef public object transport
    cdef public bytes forwarded
    cdef public object client
    cdef public unsigned long long client_print
    cdef public object counting
    cdef public object _translate
    cdef public Py_ssize_t requests
    cdef public Py_ssize_t requests_max
    cdef public object _source
    cdef public object _scheme
    cdef public Exchange exchange
    cdef public object body
    cdef public bytes buffer
    cdef public bint closing
    cdef public bint ended
    cdef public bint adopted
    cdef public bint handoff_pending
    cdef public bint congested
    cdef public bint lingering
    cdef public bint paused
    cdef public Py_ssize_t unwritten_bytes
    cdef public Py_ssize_t rate_mark_bytes
    cdef public Py_ssize_t at
    cdef public Py_ssize_t searched
    cdef public Py_ssize_t steps
    cdef public Py_ssize_t buffer_bytes_max
    cdef public bint queued
    cdef public bint reading_deferred
    cdef public bint body_paused

    cdef _append(self, bytes data)
    @cython.locals(begin=Py_ssize_t, end=Py_ssize_t, limit=Py_ssize_t, text=cython.p_char)
    cdef _receive_head(self, bytes data, Py_ssize_t start)
    cpdef keep(self, bytes data, Py_ssize_t start)
    @cython.locals(length=Py_ssize_t, left=Py_ssize_t, exchange=Exchange, context=WorkerContext, service=LocalService, text=cython.p_char)
    cdef _begin(self, RequestHead head, bytes data, Py_ssize_t end)
    cdef _begin_body(self, Exchange exchange, object body, bytes data, Py_ssize_t start)
    cdef _receive_body(self, object body, bytes data, Py_ssize_t start)
    cdef _body_advanced(self, object body)
    cpdef write(self, bytes data)
    cpdef drop_input(self)
    cpdef exchange_ended(self, bint close)
    cdef _next_request(self)
    cpdef defer_reading(self)
    cdef _enqueue(self)
    cpdef prepare_handoff(self)
    cpdef resume_requests(self)
    cpdef take_turn(self)
    cpdef update_reading(self)
    cpdef pause(self)
    cpdef resume(self)
