cimport cython

from router.proxy.context cimport WorkerContext


@cython.final
cdef class DataPlane:
    cdef dict __dict__
    cdef public WorkerContext context
