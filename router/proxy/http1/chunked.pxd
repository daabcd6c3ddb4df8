cimport cython

cdef Py_ssize_t _SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE, _EXCESS_BYTES_MAX, _SIZE_DIGITS_MAX


@cython.final
cdef class ChunkedBody:
    cdef public bint done
    cdef public bytes data
    cdef public Py_ssize_t end
    cdef public Py_ssize_t _state
    cdef public long long _left
    cdef public long long _budget
    cdef public Py_ssize_t _trailer_bytes_max
    cdef public long long _lines_max
    cdef public long long _excess_count
    cdef public bint _decode
    cdef public bytes _kept

    @cython.locals(position=Py_ssize_t, end=Py_ssize_t, line_end=Py_ssize_t, lines=cython.longlong, taken=Py_ssize_t, payload=list, text=cython.p_char)
    cpdef bytes feed(self, bytes data, Py_ssize_t start=?)
    @cython.locals(size=cython.longlong, position=Py_ssize_t, end=Py_ssize_t, octet=int, line_end=Py_ssize_t, text=cython.p_char)
    cdef Py_ssize_t _size_line(self, bytes data, Py_ssize_t start) except -2
    @cython.locals(line_end=Py_ssize_t)
    cdef Py_ssize_t _size_line_slow(self, bytes data, Py_ssize_t start) except -2
    @cython.locals(data=bytes, end=Py_ssize_t)
    cdef bytes _trailers(self, Py_ssize_t start)
