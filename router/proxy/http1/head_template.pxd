cimport cython


@cython.final
cdef class HeadTemplate:
    cdef public object _fullmatch
    cdef public bytes _form
    cdef public object _head
    cdef public Py_ssize_t _length_at
    cdef public Py_ssize_t _ident_at

    @cython.locals(values=tuple)
    cpdef translate(self, bytes raw)
