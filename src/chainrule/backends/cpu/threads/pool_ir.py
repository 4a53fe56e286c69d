"""Native code of the thread pool, as IR text: a line to wait on, the barrier, the workers' loop.

Everything is built from one thing, a *line*: a counter alone on its cache lines, which
one thread sets and others wait for.

    signal(line, value)         set the counter, wake who sleeps on it
    wait(line, old, spins)      return once the counter is no longer ``old``
    barrier(lines, tid, nt, g)  say "I am at g" on my line, wait until every other line says so too

The barrier costs one transfer of a cache line where a shared count and a release flag cost two.
"""

from __future__ import annotations

import platform
import sys

WORD_BYTES = 64  # a thread's word in a queue (see `share`), alone on its cache line
MOST_THREADS = 256  # that a program runs on
QUEUE_BYTES = WORD_BYTES * MOST_THREADS
LINE = 128  # bytes: two cache lines, since processors prefetch the neighbour
CORE_AT = 8  # in a thread's line of the pool: the core it runs on, -1 where that is not known

_POSIX_WAIT = """
declare i32 @usleep(i32)
define internal void @chainrule_sleep(ptr %line, i32 %old) noinline nounwind {
  %r = call i32 @usleep(i32 100)
  ret void
}
define internal void @chainrule_wake(ptr %line) noinline nounwind {
  ret void
}
define internal i64 @chainrule_preemptions() noinline nounwind {
  ret i64 0
}
define internal i32 @chainrule_cpu() nounwind {
  ret i32 -1
}
define internal void @chainrule_leave(ptr %pool, i64 %tid) noinline nounwind {
  ret void
}
"""
_WINDOWS_WAIT = """
declare void @Sleep(i32)
define internal void @chainrule_sleep(ptr %line, i32 %old) noinline nounwind {
  call void @Sleep(i32 1)
  ret void
}
define internal void @chainrule_wake(ptr %line) noinline nounwind {
  ret void
}
define internal i64 @chainrule_preemptions() noinline nounwind {
  ret i64 0
}
define internal i32 @chainrule_cpu() nounwind {
  ret i32 -1
}
define internal void @chainrule_leave(ptr %pool, i64 %tid) noinline nounwind {
  ret void
}
"""
# futex(line, FUTEX_WAIT_PRIVATE, old), futex(line, FUTEX_WAKE_PRIVATE, everyone), and
# getrusage(RUSAGE_THREAD).ru_nivcsw: how often the kernel took the core from this thread.
_LINUX_WAIT = """
declare i64 @syscall(i64, ...)
define internal void @chainrule_sleep(ptr %line, i32 %old) noinline nounwind {{
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr %line, i64 128, i32 %old,
    ptr null, ptr null, i64 0)
  ret void
}}
define internal void @chainrule_wake(ptr %line) noinline nounwind {{
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr %line, i64 129, i64 {all},
    ptr null, ptr null, i64 0)
  ret void
}}
declare i32 @getrusage(i32, ptr)
define internal i64 @chainrule_preemptions() noinline nounwind {{
  %usage = alloca [18 x i64], align 8
  %r = call i32 @getrusage(i32 1, ptr %usage)
  %at = getelementptr i64, ptr %usage, i64 17
  %n = load i64, ptr %at, align 8
  ret i64 %n
}}
declare i32 @sched_getcpu()
define internal i32 @chainrule_cpu() nounwind {{
  %cpu = call i32 @sched_getcpu()
  ret i32 %cpu
}}
; Go to a core where no thread of a lower number is, if this thread may use one: by being banned
; from theirs for a moment.
define internal void @chainrule_leave(ptr %pool, i64 %tid) noinline nounwind {{
entry:
  %may = alloca [128 x i64], align 8
  %free = alloca [128 x i64], align 8
  call void @llvm.memset.p0.i64(ptr %free, i8 0, i64 1024, i1 false)
  %size = call i64 (i64, ...) @syscall(i64 {getaffinity}, i64 0, i64 1024, ptr %free)
  %known = icmp sgt i64 %size, 0
  br i1 %known, label %keep, label %done
keep:
  call void @llvm.memcpy.p0.p0.i64(ptr %may, ptr %free, i64 1024, i1 false)
  br label %lower
lower:
  %j = phi i64 [ 0, %keep ], [ %j1, %next ]
  %more = icmp slt i64 %j, %tid
  br i1 %more, label %strike, label %move
strike:
  %at = call ptr @chainrule_place(ptr %pool, i64 %j)
  %cpu = load atomic i32, ptr %at monotonic, align 4
  %valid = icmp ult i32 %cpu, 8192
  br i1 %valid, label %clear, label %next
clear:
  %wide = zext i32 %cpu to i64
  %index = lshr i64 %wide, 6
  %bit = and i64 %wide, 63
  %one = shl i64 1, %bit
  %not = xor i64 %one, -1
  %word = getelementptr i64, ptr %free, i64 %index
  %old = load i64, ptr %word, align 8
  %new = and i64 %old, %not
  store i64 %new, ptr %word, align 8
  br label %next
next:
  %j1 = add i64 %j, 1
  br label %lower
move:
  %a = call i64 (i64, ...) @syscall(i64 {setaffinity}, i64 0, i64 %size, ptr %free)
  %b = call i64 (i64, ...) @syscall(i64 {setaffinity}, i64 0, i64 %size, ptr %may)
  br label %done
done:
  ret void
}}
"""
_X86_CALLS = {"futex": 202, "setaffinity": 203, "getaffinity": 204}
_ARM_CALLS = {"futex": 98, "setaffinity": 122, "getaffinity": 123}
_PAUSE = {
    "x86": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    # isb waits about as long as x86's pause; yield is a no-op on most cores
    "arm": ("declare void @llvm.aarch64.isb(i32)", "call void @llvm.aarch64.isb(i32 15)"),
    "other": ("", ""),
}

# The counter is the line's first i32, the number of sleepers the second. A waiter counts itself as
# a
# sleeper and then looks at the counter (the kernel does, atomically); a setter sets the counter and
# then looks for sleepers. Both are sequentially consistent, so one of them sees the other.
_PRIMITIVES = """
{declare_pause}
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define internal void @chainrule_signal(ptr %line, i32 %value) nounwind {{
  %before = atomicrmw xchg ptr %line, i32 %value seq_cst
  %sleepers = getelementptr i8, ptr %line, i64 4
  %n = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp ne i32 %n, 0
  br i1 %any, label %wake, label %done
wake:
  call void @chainrule_wake(ptr %line)
  br label %done
done:
  ret void
}}
define internal void @chainrule_wait(ptr %line, i32 %old, i64 %spins) nounwind {{
entry:
  br label %spin
spin:
  %k = phi i64 [ 0, %entry ], [ %k1, %again ]
  %now = load atomic i32, ptr %line acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %again, label %done
again:
  {pause}
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %spins
  br i1 %more, label %spin, label %bed
bed:
  %sleepers = getelementptr i8, ptr %line, i64 4
  %a = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %look
look:
  %then = load atomic i32, ptr %line seq_cst, align 4
  %still = icmp eq i32 %then, %old
  br i1 %still, label %sleep, label %up
sleep:
  call void @chainrule_sleep(ptr %line, i32 %old)
  br label %look
up:
  %b = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  ret void
}}
; Waiting at a barrier for long. Spinning harms nobody while no other thread wants this core, and
; being woken from sleep costs 50-200 us; so spin on, unless the kernel has lately taken the core.
define internal void @chainrule_wait_long(ptr %line, i32 %old, i64 %spins, ptr %mine)
    noinline nounwind {{
entry:
  %seenp = getelementptr i8, ptr %mine, i64 8
  %crowdedp = getelementptr i8, ptr %mine, i64 16
  br label %round
round:
  %k = phi i64 [ 0, %entry ], [ %k1, %spin_done ]
  %taken = call i64 @chainrule_preemptions()
  %count = add i64 %taken, 1
  %seen = load i64, ptr %seenp, align 8
  store i64 %count, ptr %seenp, align 8
  %first = icmp eq i64 %seen, 0
  %same = icmp eq i64 %seen, %count
  %quiet = or i1 %first, %same
  %had = load i64, ptr %crowdedp, align 8
  %fewer = add i64 %had, -1
  %left = call i64 @llvm.smax.i64(i64 %fewer, i64 0)
  %crowded = select i1 %quiet, i64 %left, i64 20
  store i64 %crowded, ptr %crowdedp, align 8
  %patient = icmp eq i64 %crowded, 0
  br i1 %patient, label %spin, label %sleep
spin:
  %s = phi i64 [ 0, %round ], [ %s1, %spin_more ]
  %now = load atomic i32, ptr %line acquire, align 4
  %waiting = icmp eq i32 %now, %old
  br i1 %waiting, label %spin_more, label %done
spin_more:
  {pause}
  %s1 = add i64 %s, 1
  %again = icmp slt i64 %s1, %spins
  br i1 %again, label %spin, label %spin_done
spin_done:
  %k1 = add i64 %k, 1
  %rounds = icmp slt i64 %k1, 100
  br i1 %rounds, label %round, label %sleep
sleep:
  call void @chainrule_wait(ptr %line, i32 %old, i64 1)
  br label %done
done:
  ret void
}}
define void @chainrule_barrier(ptr %lines, i64 %tid, i64 %nt, i32 %old) nounwind {{
entry:
  %new = add i32 %old, 1
  %alone = icmp eq i64 %nt, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %usual = load i64, ptr %lines, align 8
  %i = add i64 %tid, 1
  %at = mul i64 %i, {line}
  %mine = getelementptr i8, ptr %lines, i64 %at
  %crowdedp = getelementptr i8, ptr %mine, i64 16
  %left = load i64, ptr %crowdedp, align 8
  %crowded = icmp ne i64 %left, 0
  %few = lshr i64 %usual, 5
  %spins = select i1 %crowded, i64 %few, i64 %usual
  call void @chainrule_signal(ptr %mine, i32 %new)
  br label %others
others:
  %j = phi i64 [ 1, %arrive ], [ %j1, %next ]
  %self = icmp eq i64 %j, %i
  br i1 %self, label %next, label %other
other:
  %there = mul i64 %j, {line}
  %theirs = getelementptr i8, ptr %lines, i64 %there
  br label %spin
spin:
  %s = phi i64 [ 0, %other ], [ %s1, %again ]
  %now = load atomic i32, ptr %theirs acquire, align 4
  %waiting = icmp eq i32 %now, %old
  br i1 %waiting, label %again, label %next
again:
  {pause}
  %s1 = add i64 %s, 1
  %short = icmp slt i64 %s1, %spins
  br i1 %short, label %spin, label %long
long:
  call void @chainrule_wait_long(ptr %theirs, i32 %old, i64 %spins, ptr %mine)
  br label %next
next:
  %j1 = add i64 %j, 1
  %more = icmp sle i64 %j1, %nt
  br i1 %more, label %others, label %done
done:
  ret void
}}
"""

# The pool's memory, in lines: the job (counter, sleepers, function, control, threads, quit, spins),
# then one line a thread on which it says which job it has finished and on which core it runs, then
# the barrier's lines: one that holds how long to spin, and one a thread.
#
# Two threads on one core take twice as long, and a kernel that wakes a thread where it last ran can
# leave them there, run after run. So a worker that finds itself on the core of another moves.
_POOL = """
define internal ptr @chainrule_place(ptr %pool, i64 %tid) nounwind {{
  %i = add i64 %tid, 1
  %at = mul i64 %i, {line}
  %line = getelementptr i8, ptr %pool, i64 %at
  %place = getelementptr i8, ptr %line, i64 {core}
  ret ptr %place
}}
define internal void @chainrule_spread(ptr %pool, i64 %tid) nounwind {{
entry:
  %here = call i32 @chainrule_cpu()
  br label %lower
lower:
  %j = phi i64 [ 0, %entry ], [ %j1, %next ]
  %more = icmp slt i64 %j, %tid
  br i1 %more, label %next, label %done
next:
  %at = call ptr @chainrule_place(ptr %pool, i64 %j)
  %there = load atomic i32, ptr %at monotonic, align 4
  %j1 = add i64 %j, 1
  %same = icmp eq i32 %here, %there
  br i1 %same, label %move, label %lower
move:
  call void @chainrule_leave(ptr %pool, i64 %tid)
  br label %done
done:
  %now = call i32 @chainrule_cpu()
  %mine = call ptr @chainrule_place(ptr %pool, i64 %tid)
  store atomic i32 %now, ptr %mine monotonic, align 4
  ret void
}}
define void @chainrule_worker(ptr %pool, i64 %tid, i64 %size) nounwind {{
entry:
  %fnp = getelementptr i8, ptr %pool, i64 8
  %controlp = getelementptr i8, ptr %pool, i64 16
  %ntp = getelementptr i8, ptr %pool, i64 24
  %quitp = getelementptr i8, ptr %pool, i64 32
  %spinsp = getelementptr i8, ptr %pool, i64 40
  %ackat = mul i64 %tid, {line}
  %acks = getelementptr i8, ptr %pool, i64 {line}
  %ack = getelementptr i8, ptr %acks, i64 %ackat
  %size1 = add i64 %size, 1
  %bat = mul i64 %size1, {line}
  %lines = getelementptr i8, ptr %pool, i64 %bat
  br label %idle
idle:
  %old = load atomic i32, ptr %ack monotonic, align 4
  %spins = load i64, ptr %spinsp, align 8
  call void @chainrule_wait(ptr %pool, i32 %old, i64 %spins)
  %quit = load i64, ptr %quitp, align 8
  %stop = icmp ne i64 %quit, 0
  br i1 %stop, label %done, label %job
job:
  %new = add i32 %old, 1
  %nt = load i64, ptr %ntp, align 8
  %in = icmp slt i64 %tid, %nt
  br i1 %in, label %run, label %finished
run:
  call void @chainrule_spread(ptr %pool, i64 %tid)
  %fn = load ptr, ptr %fnp, align 8
  %control = load ptr, ptr %controlp, align 8
  call void %fn(ptr %control, i64 %tid, i64 %nt, ptr %lines)
  br label %finished
finished:
  call void @chainrule_signal(ptr %ack, i32 %new)
  br label %idle
done:
  ret void
}}
define void @chainrule_quit(ptr %pool) nounwind {{
  %quitp = getelementptr i8, ptr %pool, i64 32
  store i64 1, ptr %quitp, align 8
  %old = load atomic i32, ptr %pool monotonic, align 4
  %new = add i32 %old, 1
  call void @chainrule_signal(ptr %pool, i32 %new)
  ret void
}}
define void @chainrule_dispatch(ptr %pool, ptr %fn, ptr %control, i64 %nt, i64 %size) nounwind {{
entry:
  %fnp = getelementptr i8, ptr %pool, i64 8
  %controlp = getelementptr i8, ptr %pool, i64 16
  %ntp = getelementptr i8, ptr %pool, i64 24
  store ptr %fn, ptr %fnp, align 8
  store ptr %control, ptr %controlp, align 8
  store i64 %nt, ptr %ntp, align 8
  %size1 = add i64 %size, 1
  %bat = mul i64 %size1, {line}
  %lines = getelementptr i8, ptr %pool, i64 %bat
  %spins = load i64, ptr %lines, align 8
  br label %clear
clear:
  %c = phi i64 [ 1, %entry ], [ %c1, %clear ]
  %cat = mul i64 %c, {line}
  %line = getelementptr i8, ptr %lines, i64 %cat
  store atomic i32 0, ptr %line monotonic, align 4
  %c1 = add i64 %c, 1
  %cmore = icmp sle i64 %c1, %nt
  br i1 %cmore, label %clear, label %go
go:
  %cpu = call i32 @chainrule_cpu()
  %place = call ptr @chainrule_place(ptr %pool, i64 0)
  store atomic i32 %cpu, ptr %place monotonic, align 4
  %old = load atomic i32, ptr %pool monotonic, align 4
  %new = add i32 %old, 1
  call void @chainrule_signal(ptr %pool, i32 %new)
  call void %fn(ptr %control, i64 0, i64 %nt, ptr %lines)
  br label %collect
collect:
  %j = phi i64 [ 1, %go ], [ %j1, %next ]
  %more = icmp slt i64 %j, %size
  br i1 %more, label %next, label %done
next:
  %j1 = add i64 %j, 1
  %jat = mul i64 %j1, {line}
  %ack = getelementptr i8, ptr %pool, i64 %jat
  call void @chainrule_wait(ptr %ack, i32 %old, i64 %spins)
  br label %collect
done:
  ret void
}}
define void @chainrule_spin(ptr %line, i64 %spins) nounwind {{
entry:
  br label %spin
spin:
  %k = phi i64 [ 0, %entry ], [ %k1, %spin ]
  %now = load atomic i32, ptr %line acquire, align 4
  {pause}
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %spins
  br i1 %more, label %spin, label %done
done:
  ret void
}}
"""


def code_ir() -> str:
    """The module with the barrier, the workers' loop and the dispatch, for this machine."""
    cpu = platform.machine().lower()
    arch = (
        "x86" if cpu in ("x86_64", "amd64") else "arm" if cpu in ("arm64", "aarch64") else "other"
    )
    declare_pause, pause = _PAUSE[arch]
    if sys.platform == "linux" and arch != "other":
        numbers = _X86_CALLS if arch == "x86" else _ARM_CALLS
        wait = _LINUX_WAIT.format(**numbers, all=2**31 - 1)
    else:
        wait = _WINDOWS_WAIT if sys.platform == "win32" else _POSIX_WAIT
    body = (_PRIMITIVES + _POOL).format(
        declare_pause=declare_pause, pause=pause, line=LINE, core=CORE_AT
    )
    return wait + body
