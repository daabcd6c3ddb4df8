cimport cython

from router.proxy.deadlines cimport Deadlines
from router.proxy.context cimport WorkerContext
from router.proxy.affected.affected cimport Affected


@cython.final
cdef class LocalTarget:
    cdef dict __dict__
    cdef public Py_ssize_t row
    cdef public bytes served_version
    cdef public set in_flight
    cdef public Deadlines awaiting_first_byte
    cdef public Py_ssize_t retrying
    cdef public Py_ssize_t quota
    cdef public Py_ssize_t upgrades
    cdef public bint shows_waits
    cdef public tuple pools
    cdef public object rewrite
    cdef public Affected affected
    cdef public WorkerContext _context
