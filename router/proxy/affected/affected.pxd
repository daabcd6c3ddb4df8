cimport cython

cdef Py_ssize_t _USEFUL_CLIENTS, _UNAFFECTED_CLIENTS, _WORK, _WORK_WORDS, _LOST_REQUESTS, _EXACT
cdef unsigned long long _ONE


@cython.final
cdef class Affected:
    cdef unsigned long long[::1] _words
    cdef public Py_ssize_t _row
    cdef public object _incarnation
    cdef public object _known_good
    cdef public list _due_s
    cdef public object _fingerprints
    cdef public long long _number
    cdef public Py_ssize_t _epoch
    cdef public double _until_s
    cdef public bint _faulty
    cdef public list _fault_epochs
    cdef public set _good_faults

    @cython.locals(row=Py_ssize_t, due_s=double)
    cpdef useful(self, Py_ssize_t bucket, unsigned long long client, object exchange, double now_s)
    cpdef fault(self, Py_ssize_t bucket, object exchange)
    cpdef lost(self, Py_ssize_t bucket, object exchange)
    cpdef waits(self, Py_ssize_t bucket, object exchange)
    @cython.locals(sketch=Py_ssize_t, bit=cython.ulonglong)
    cpdef _add(self, Py_ssize_t start, unsigned long long fingerprint)
    @cython.locals(cell=Py_ssize_t)
    cpdef bint _add_exact(self, Py_ssize_t start, unsigned long long fingerprint) except -1
    cpdef _forget_lost(self, Py_ssize_t row)
