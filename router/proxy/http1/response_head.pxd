cimport cython


@cython.final
cdef class ResponseHead:
    cdef public int status
    cdef public bint keep_alive
    cdef public Py_ssize_t length
    cdef public bytes downstream
    cdef public bint has_request_id
    cdef public object idle_timeout_s
    cdef public bint upgrade
    cdef public int kind
    cdef public bint retry_after

    @cython.locals(made=ResponseHead)
    cpdef ResponseHead with_values(self, bytes downstream, Py_ssize_t length, bytes _request_id)
