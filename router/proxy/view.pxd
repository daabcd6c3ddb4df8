cimport cython

from router.proxy.deadlines cimport Deadlines
from router.proxy.plane cimport Plane


@cython.final
cdef class TargetView:
    cdef dict __dict__
    cdef public Py_ssize_t row
    cdef public bytes served_version
    cdef public set open
    cdef public Deadlines waiting
    cdef public Py_ssize_t retrying
    cdef public Py_ssize_t quota
    cdef public Py_ssize_t upgrades
    cdef public tuple pools
    cdef public Plane _plane


@cython.final
cdef class ServiceView:
    cdef dict __dict__
    cdef public object options
    cdef public bint names_version
    cdef public bint never_resends
    cdef public object witnesses
    cdef public object failures
    cdef public TargetView active
    cdef public TargetView standby
    cdef public object route
    cdef public unsigned long long word
    cdef public long long generation
    cdef public Py_ssize_t row
    cdef public Py_ssize_t word_at
    cdef public Deadlines idle
    cdef public Plane _plane
