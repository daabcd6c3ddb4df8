cimport cython

@cython.final
cdef class Deadlines:
    cdef public double duration_s
    cdef public dict since
    cdef public object _expired

    cpdef start(self, object waiter, double now_s)
    cpdef stop(self, object waiter)


@cython.final
cdef class DeadlineSet:
    cdef public object _options
    cdef public list _tables
    cdef public list _of_connections

    @cython.locals(table=Deadlines)
    cpdef forget(self, object connection)
