cimport cython

from router.proxy.http1.request_head cimport RequestHead
from router.proxy.http1.response_head cimport ResponseHead

cdef int _ANY, _DIGITS, _IDENT
cdef Py_ssize_t _DIGITS_MAX, _IDENT_BYTES_MAX
cdef bytes _PERMITS
cdef bint _COMPILED


@cython.final
cdef class HeadTemplate:
    cdef public object _fullmatch
    cdef public list _literals
    cdef public bytes _kinds
    cdef public bytes _shown
    cdef public list _texts
    cdef public RequestHead _request
    cdef public ResponseHead _response
    cdef public Py_ssize_t _length_at
    cdef public Py_ssize_t _ident_at

    @cython.locals(values=list, pieces=list, text=bytes, number=Py_ssize_t, length_at=Py_ssize_t, ident_at=Py_ssize_t,
                   request=RequestHead, response=ResponseHead)
    cpdef translate(self, bytes raw)
    cpdef list matched(self, bytes raw)
    @cython.locals(values=list, literal=bytes, octets=cython.p_uchar, permits=cython.p_uchar, kinds=cython.p_uchar,
                   shown=cython.p_uchar, kind=int, at=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, last=Py_ssize_t,
                   number=Py_ssize_t)
    cpdef list scanned(self, bytes raw)
