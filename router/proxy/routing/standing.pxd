cimport cython


@cython.final
cdef class Standing:
    cdef public double ready_at_s
    cdef public double backoff_until_s
    cdef public double rests_until_s
    cdef public double doubted_until_s
    cdef public double ejected_until_s
    cdef public bint fallback
    cdef public bint condemned
    cdef public bint connects
    cdef public bint reached
    cdef public Py_ssize_t entered
    cdef public Py_ssize_t faults
    cdef public Py_ssize_t in_a_row
    cdef public Py_ssize_t requests
    cdef public Py_ssize_t overdue
    cdef public double good_s
    cdef public double bad_s
    cdef public object _last_request
    cdef public double _backoff_s
    cdef public Py_ssize_t _busy
    cdef public double _busy_since_s

    cpdef enter(self)
    cpdef well(self, double now_s)
