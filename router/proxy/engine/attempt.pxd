cimport cython

from router.proxy.engine.exchange cimport Exchange
from router.proxy.context cimport WorkerContext
from router.proxy.engine.pool cimport Pool
from router.proxy.engine.local_target cimport LocalTarget
from router.proxy.http1.response_head cimport ResponseHead
from router.proxy.work.answer_watch cimport AnswerWatch
from router.proxy.work.work_path cimport WorkPath
from router.proxy.routing.standing cimport Standing

cdef Py_ssize_t _CLAIMED, _BEGUN, _LAST_BEGUN_NS, _FIRST_BYTE, _OUTCOMES, _DURATION, _THROTTLED
cdef Py_ssize_t _FIRST_USEFUL, _ASKED, _ENDS, _LAST_USEFUL_NS, _LATE_FAULTS, _TIMES, _NAMED_BUCKETS, _USEFUL, _OK, _REDIRECTIONS, _JSON, _ERROR_WITHIN_BYTES
cdef long long _MICROS_MAX
cdef bytes _LENGTHS


@cython.final
@cython.freelist(64)
cdef class Attempt:
    cdef public WorkerContext context
    cdef public Exchange exchange
    cdef public LocalTarget target
    cdef public Py_ssize_t row
    cdef public WorkPath work
    cdef public Py_ssize_t work_row
    cdef public Py_ssize_t bucket
    cdef public bint open
    cdef public AnswerWatch watch
    cdef public int role
    cdef public long long generation
    cdef public double claimed_s
    cdef public double sent_s
    cdef public bint begun
    cdef public bint any_sent
    cdef public bint retrying
    cdef public bint overdue
    cdef public object refused
    cdef public Pool pool
    cdef public Pool spare
    cdef public tuple tried

    cpdef enter(self, Pool pool)
    cpdef leave(self)
    cpdef sent(self, double now_s)
    @cython.locals(row=Py_ssize_t, context=WorkerContext, waited_since_s=double)
    cpdef answered(self, int status, double now_s)
    @cython.locals(context=WorkerContext, row=Py_ssize_t, exchange=Exchange)
    cpdef became_useful(self, double now_s, double waited_s)
    @cython.locals(exchange=Exchange, now_s=double)
    cdef Py_ssize_t _work_end(self, Py_ssize_t outcome) except -1
    @cython.locals(watch=AnswerWatch, exchange=Exchange)
    cpdef watch_response(self, ResponseHead head, bytes data, bint complete, double now_s)
    cpdef content_came(self, double now_s)
    cpdef Py_ssize_t whole_outcome(self) except -1
    cpdef ended_work(self, Py_ssize_t end)
    cpdef bint may_change_endpoint(self) except -1
    cpdef retry(self)
    @cython.locals(row=Py_ssize_t, context=WorkerContext, target=LocalTarget, end=Py_ssize_t, whole=bint)
    cpdef end(self, Py_ssize_t outcome, double lasted_s)
    cdef _failed(self, Py_ssize_t outcome)


cpdef Py_ssize_t cell_of(double waited_s) except -1
@cython.locals(micros=cython.longlong, length=cython.longlong)
cpdef count(unsigned long long[::1] words, Py_ssize_t histogram, double seconds)
