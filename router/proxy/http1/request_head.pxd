cimport cython


@cython.final
cdef class RequestHead:
    cdef public bytes method
    cdef public bytes target
    cdef public bytes path
    cdef public bytes host
    cdef public bint http11
    cdef public bint keep_alive
    cdef public Py_ssize_t length
    cdef public bytes upstream
    cdef public bytes request_id
    cdef public bint expects_continue
    cdef public bint upgrade
    cdef public bint final
    cdef public object service
    cdef public object work
    cdef public tuple lookalikes

    @cython.locals(made=RequestHead)
    cpdef RequestHead with_values(self, bytes upstream, Py_ssize_t length, bytes request_id)
