cimport cython

from router.proxy.context cimport WorkerContext
from router.proxy.deadlines cimport Deadlines


@cython.final
cdef class ClientConnectionLimiter:
    cdef public WorkerContext _context
    cdef public object reserve
    cdef public set connections
    cdef public dict by_client
    cdef public Deadlines ages

    cpdef Py_ssize_t connection_count(self) except -1
    cpdef bint at_connection_limit(self) except -1
    @cython.locals(context=WorkerContext)
    cdef _exceeded_limit(self, object downstream)
    cdef _discount_connection(self, object downstream)
