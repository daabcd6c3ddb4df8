cimport cython

from router.proxy.deadlines cimport DeadlineSet, Deadlines


cdef tuple _ID_ENDS


@cython.final
cdef class WorkerContext:
    cdef dict __dict__
    cdef public unsigned long long[::1] words
    cdef public object options
    cdef public object tracer
    cdef public double now_s
    cdef public DeadlineSet deadlines
    cdef public Deadlines header_wait
    cdef public Deadlines keepalive
    cdef public Deadlines body_wait
    cdef public Deadlines write_wait
    cdef public Py_ssize_t row
    cdef public Py_ssize_t head_bytes_max
    cdef public Py_ssize_t body_bytes_max
    cdef public object request_head
    cdef public object response_head
    cdef public bytes _id_block
    cdef public bytes _id_prefix
    cdef public long long _id_number

    @cython.locals(low=Py_ssize_t)
    cpdef bytes new_request_id(self)
    cpdef forget_waits(self, object downstream)
    cpdef count(self, Py_ssize_t word)
