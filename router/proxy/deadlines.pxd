cimport cython

@cython.final
cdef class Deadlines:
    cdef public double duration_s
    cdef public dict since
    cdef public object _expired

    cpdef start(self, object waiter, double now_s)
    cpdef stop(self, object waiter)
