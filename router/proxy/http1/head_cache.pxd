cimport cython

from router.proxy.http1.head_template cimport HeadTemplate

cdef Py_ssize_t _HEAD_BYTES_MAX


@cython.final
cdef class HeadCache:
    cdef public object _parse
    cdef public dict _heads
    cdef public dict _older_heads
    cdef public dict _shapes
    cdef public dict _older_shapes
    cdef public Py_ssize_t _shapes_number
    cdef public Py_ssize_t _budget
    cdef public bytes _latest
    cdef public HeadTemplate _template

    @cython.locals(shapes=list, shape=_HeadShape, template=HeadTemplate, place=Py_ssize_t)
    cpdef translate(self, bytes raw)
    cdef _came_by_template(self, bytes raw, object head, HeadTemplate template)
    cdef _translate_slow(self, bytes raw)
    cdef _remember(self, bytes raw, object head)
    cdef _promote(self, bytes line)
    cdef _make_room(self, Py_ssize_t number)
    cdef _learn(self, bytes line, bytes raw)


@cython.final
cdef class _HeadShape:
    cdef public list _sample
    cdef public list _names
    cdef public bint _response
    cdef public frozenset _variables
    cdef public HeadTemplate template
