cimport cython

from router.proxy.engine.attempt cimport Attempt
from router.proxy.engine.downstream cimport Downstream
from router.proxy.context cimport WorkerContext
from router.proxy.engine.pool cimport Pool
from router.proxy.http1.request_head cimport RequestHead
from router.proxy.http1.response_head cimport ResponseHead
from router.proxy.engine.upstream cimport Upstream
from router.proxy.engine.local_service cimport LocalService
from router.proxy.engine.local_target cimport LocalTarget

cdef Py_ssize_t _OK, _SERVICE_UNAVAILABLE, _ACTIVE, _GAP_MAX_US, _EXCHANGES, _OUTCOME_COUNT, _FAILED, _KEEP_ALIVE_BYTES_MAX, _EVENT_STREAM
cdef Py_ssize_t _SAMPLE_BYTES, _REFERENCE_BYTES_MAX


@cython.final
@cython.freelist(64)
cdef class Exchange:
    cdef public WorkerContext context
    cdef public LocalService service
    cdef public Downstream downstream
    cdef public RequestHead head
    cdef public bytes request_id
    cdef public Attempt attempt
    cdef public Upstream upstream
    cdef public Py_ssize_t tries
    cdef public tuple tried_targets
    cdef public object held
    cdef public object rescue
    cdef public object request_print
    cdef public bytes first_bytes
    cdef public bytes last_bytes
    cdef public list body
    cdef public Py_ssize_t body_bytes
    cdef public bint body_complete
    cdef public bint request_sent
    cdef public bint answered
    cdef public bint moved
    cdef public bint awaiting_validation
    cdef public bint ended
    cdef public int status
    cdef public bint rechunking
    cdef public bint close_after
    cdef public object tap
    cdef public list failed
    cdef public object trace_notes
    cdef public double last_byte_s
    cdef public double paused_at_s
    cdef public double paused_s

    @cython.locals(active=LocalTarget, service=LocalService, size=Py_ssize_t)
    cpdef start(self, bytes body, bint complete)
    cpdef claim(self, LocalTarget target, int role)
    @cython.locals(now_s=double, pools=tuple, pool=Pool, upstream=Upstream, alone=bint)
    cpdef dispatch(self, Attempt attempt)
    cpdef connected(self, Upstream upstream)
    @cython.locals(pieces=list, head=RequestHead)
    cdef _send(self, Attempt attempt, Upstream upstream, double now_s)
    cpdef receive_body(self, bytes data, bint complete)
    cdef _sent(self, Attempt attempt, double now_s)
    @cython.locals(now_s=double, attempt=Attempt)
    cpdef respond(self, ResponseHead head, bytes data, bint complete)
    @cython.locals(downstream=Downstream, attempt=Attempt, pieces=list, request=RequestHead, named=bytes, close=bint)
    cpdef deliver(self, ResponseHead head, bytes data, bint complete, double now_s)
    @cython.locals(now_s=double, gap_at=Py_ssize_t, attempt=Attempt)
    cpdef relay(self, bytes data)
    @cython.locals(now_s=double, attempt=Attempt)
    cpdef relay_last(self, bytes data)
    @cython.locals(outcome=Py_ssize_t, attempt=Attempt)
    cpdef completed(self)
    cpdef finish(self, Py_ssize_t outcome)
    @cython.locals(paused_s=double)
    cpdef end_attempt(self, Py_ssize_t outcome)
    cdef _end(self, Py_ssize_t outcome)
    cpdef answer(self, int status, str code, str detail, object outcome)
    cpdef reject_saturated(self, str detail)
    cpdef wait(self, Pool pool)
    cpdef drop_upstream(self)
