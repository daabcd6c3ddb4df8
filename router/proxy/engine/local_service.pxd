cimport cython

from router.proxy.deadlines cimport Deadlines
from router.proxy.context cimport WorkerContext
from router.proxy.engine.local_target cimport LocalTarget


@cython.final
cdef class LocalService:
    cdef dict __dict__
    cdef public object options
    cdef public bint names_version
    cdef public bint never_resends
    cdef public object tap
    cdef public object work_paths
    cdef public object failures
    cdef public object refused_answers
    cdef public LocalTarget active
    cdef public LocalTarget standby
    cdef public object route
    cdef public unsigned long long word
    cdef public long long generation
    cdef public Py_ssize_t row
    cdef public Py_ssize_t word_at
    cdef public Deadlines idle
    cdef public WorkerContext _context
