cimport cython

from router.proxy.exchange cimport Exchange
from router.proxy.plane cimport Plane
from router.proxy.upstream cimport Upstream


@cython.final
cdef class Pool:
    cdef public Plane _plane
    cdef public object endpoint
    cdef public object _context
    cdef public object _last
    cdef public bytes authority
    cdef public Py_ssize_t in_flight
    cdef public double resting_until_s
    cdef public bint closed
    cdef public double _rest_s
    cdef public list _idle
    cdef public object _waiting
    cdef public Py_ssize_t _next_address

    @cython.locals(age_s=double, upstream=Upstream)
    cpdef Upstream take(self, double now_s)
    cpdef wait(self, Exchange exchange)
    cpdef leave(self, Exchange exchange)
    cpdef give_back(self, Upstream upstream, double now_s)
    cpdef forget(self, Upstream upstream)
