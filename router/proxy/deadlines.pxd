cimport cython

@cython.final
cdef class Deadlines:
    cdef public double duration_s
    cdef public dict since
    cdef public object _expired

    cpdef start(self, object waiter, double now_s)
    cpdef stop(self, object waiter)
    @cython.locals(limit=double, due=list)
    cpdef sweep(self, double now_s)


@cython.final
cdef class DeadlineSet:
    cdef public object _options
    cdef public list _tables
    cdef public list _of_connections

    @cython.locals(table=Deadlines)
    cpdef sweep(self, double now_s)
    @cython.locals(table=Deadlines)
    cpdef forget(self, object connection)
