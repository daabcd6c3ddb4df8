cimport cython

from router.proxy.engine.exchange cimport Exchange
from router.proxy.context cimport WorkerContext
from router.proxy.engine.upstream cimport Upstream
from router.proxy.routing.standing cimport Standing


@cython.final
cdef class Pool:
    cdef public WorkerContext _context
    cdef public object endpoint
    cdef public object _backend_context
    cdef public object _last
    cdef public bytes authority
    cdef public Py_ssize_t in_flight
    cdef public str address
    cdef public Standing standing
    cdef public double pair_s
    cdef public bint closed
    cdef public list _idle
    cdef public object _waiting

    @cython.locals(age_s=double, upstream=Upstream)
    cpdef Upstream take(self, double now_s)
    cpdef wait(self, Exchange exchange)
    cpdef cancel_wait(self, Exchange exchange)
    cpdef release(self, Upstream upstream, double now_s)
    cpdef remove(self, Upstream upstream)
