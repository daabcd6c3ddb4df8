cimport cython

from router.proxy.exchange cimport Exchange
from router.proxy.plane cimport Plane
from router.proxy.request_head cimport RequestHead
from router.proxy.view cimport ServiceView

cdef Py_ssize_t _ACCEPTED


@cython.final
cdef class Downstream:
    cdef public Plane plane
    cdef public object peer
    cdef public object transport
    cdef public bytes forwarded
    cdef public object client
    cdef public object ledger
    cdef public object _translate
    cdef public Py_ssize_t requests
    cdef public Py_ssize_t requests_max
    cdef public object _announced
    cdef public Exchange exchange
    cdef public object body
    cdef public bytes buffer
    cdef public bint closing
    cdef public bint ended
    cdef public bint adopted
    cdef public bint held
    cdef public bint congested
    cdef public bint lingering
    cdef public bint paused
    cdef public Py_ssize_t silent_at_bytes
    cdef public Py_ssize_t paced_bytes
    cdef public bint _scheduled

    @cython.locals(end=Py_ssize_t, limit=Py_ssize_t, came=bytes, text=cython.p_char)
    cdef _receive_head(self, bytes data)
    cdef _incomplete_head(self, bytes came, bytes data, Py_ssize_t end)
    @cython.locals(length=Py_ssize_t, exchange=Exchange, plane=Plane, service=ServiceView)
    cdef _begin(self, RequestHead head, bytes rest)
    cdef _begin_body(self, Exchange exchange, object body, bytes rest)
    cdef _receive_body(self, object body, bytes data)
    cdef _body_advanced(self, object body)
    cdef _body_broken(self, Exchange exchange, object error)
    cpdef write(self, bytes data)
    cpdef hold_body(self)
    cpdef release_body(self)
    cpdef exchange_ended(self, bint close)
    cdef _go_on(self)
    cpdef hold(self)
    cpdef go_on(self)
    cpdef pause(self)
    cpdef resume(self)
