// warder-stub: PID 1 of a worker's pid namespace. It is the reaper above the worker and its descendants, and the handle by
// which they all end: when it dies the kernel kills everything in the namespace. It has no libc, no heap and one page of
// code, because it lives as long as its worker does.
//
// Descriptor 0 is a pidfd of warderd. It becomes readable when warderd is gone, and then the stub ends, and with it the
// namespace: unlike a parent-death signal this needs no permission of the dying parent, which may just have been
// performing with somebody else's credentials.

namespace {

#if defined(__x86_64__)
enum Call : long { rt_sigaction = 13, prctl = 157, exit_group = 231, ppoll = 271 };
constexpr unsigned long restorer_flag = 0x04000000;

long call(long number, long a, long b, long c, long d, long e) {
    long result = 0;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum Call : long { rt_sigaction = 134, prctl = 167, exit_group = 94, ppoll = 73 };
constexpr unsigned long restorer_flag = 0;

long call(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
#error "warder-stub knows the calls of x86_64 and aarch64 only"
#endif

// The kernel's own structures; a libc's differ.
struct KernelAction {
    unsigned long handler;
    unsigned long flags;
    unsigned long restorer;
    unsigned long mask;
};

struct PollEntry {
    int fd;
    short events;
    short returned;
};

constexpr long sigchld = 17;
constexpr unsigned long ignore = 1;
constexpr unsigned long no_child_wait = 2;
constexpr long set_name = 15;
constexpr short readable = 1;

long address(const void* pointer) { return reinterpret_cast<long>(pointer); }

// With SIGCHLD ignored the kernel reaps every child itself, those that were handed up to us too: no wake-ups at all.
void reap_by_kernel() {
    static const KernelAction action{ignore, no_child_wait | restorer_flag, 0, 0};
    if (call(rt_sigaction, sigchld, address(&action), 0, sizeof action.mask, 0) < 0) call(exit_group, 1, 0, 0, 0, 0);
}

// Sleeps until warderd is gone. An error that is not an interruption must not become a busy loop.
void wait_for_parent() {
    constexpr long interrupted = -4;
    PollEntry parent{0, readable, 0};
    while (call(ppoll, address(&parent), 1, 0, 0, 0) == interrupted) {
    }
}

}  // namespace

#if defined(__x86_64__)
// The kernel enters with the stack aligned for a jump, the compiler expects a call.
#define WARDER_ENTRY __attribute__((force_align_arg_pointer))
#else
#define WARDER_ENTRY
#endif

extern "C" [[noreturn]] WARDER_ENTRY void _start();

extern "C" void _start() {
    static const char name[] = "warder-stub";
    call(prctl, set_name, address(name), 0, 0, 0);
    reap_by_kernel();
    wait_for_parent();
    for (;;) call(exit_group, 0, 0, 0, 0, 0);
}
