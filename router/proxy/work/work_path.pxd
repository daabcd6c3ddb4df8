cimport cython

cdef Py_ssize_t _L_WORK, _WORK_WORDS


@cython.final
cdef class WorkPath:
    cdef public str name
    cdef public bint inference
    cdef public bint protocol
    cdef public bint streams
    cdef public double median_s
    cdef public double propose_after_s
    cdef public Py_ssize_t bucket
    cdef public Py_ssize_t offset

    cpdef assign(self, Py_ssize_t bucket)
