// What changes the machine for all, and the parts of the kernel that were broken into most.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/kexec.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/personality.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <ctime>
#include <unistd.h>

#if defined(__x86_64__)
#include <asm/ldt.h>
#include <sys/io.h>
#endif

#include <cstring>

#include "attempt.h"

namespace attempts {
namespace {

int io_uring(const Context&) {
    unsigned char parameters[120]{};   // struct io_uring_params, which the headers may not have
    return done(::syscall(SYS_io_uring_setup, 1, parameters));
}

int bpf_map(const Context&) {
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_STACK_TRACE;   // takes CAP_BPF, whatever the host says of ordinary users
    attributes.key_size = 4;
    attributes.value_size = 8;
    attributes.max_entries = 1;
    return done(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

int user_fault(const Context&) { return done(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)); }

int perf_of_the_machine(const Context&) {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    return done(::syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC));
}

int without_randomisation(const Context&) { return done(::personality(ADDR_NO_RANDOMIZE)); }
int readable_is_executable(const Context&) { return done(::personality(READ_IMPLIES_EXEC)); }

#if defined(__x86_64__)
int local_descriptors(const Context&) {
    user_desc description{};
    description.limit = 0xfffff;
    description.seg_32bit = 1;
    return done(::syscall(SYS_modify_ldt, 0x11, &description, sizeof description));
}
int all_ports(const Context&) { return done(::iopl(3)); }
int one_port(const Context&) { return done(::ioperm(0x80, 1, 1)); }
#endif

int another_kernel(const Context&) { return past_the_check(::syscall(SYS_kexec_load, 0, 0, nullptr, ~0UL), EINVAL); }
int another_kernel_file(const Context&) { return past_the_check(::syscall(SYS_kexec_file_load, -1, -1, 0, nullptr, ~0UL), EINVAL); }
int load_module(const Context&) { return past_the_check(::syscall(SYS_init_module, nullptr, 0, ""), ENOEXEC, EFAULT); }
int load_module_file(const Context&) { return past_the_check(::syscall(SYS_finit_module, -1, "", 0), EBADF); }
int unload_module(const Context&) { return past_the_check(::syscall(SYS_delete_module, "no_such_module", O_NONBLOCK), ENOENT); }
int restart_machine(const Context&) { return past_the_check(::syscall(SYS_reboot, 0, 0, 0, nullptr), EINVAL); }
int swap_on(const Context&) { return past_the_check(::syscall(SYS_swapon, "/no/such/file", 0), ENOENT); }
int swap_off(const Context&) { return past_the_check(::syscall(SYS_swapoff, "/no/such/file"), ENOENT); }
int quotas(const Context&) { return done(::syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), nullptr, 0, nullptr)); }
int accounting(const Context&) { return past_the_check(::syscall(SYS_acct, "/no/such/file"), ENOENT); }

bool in_the_hosts(const Context& c) {
    char name[256]{};
    ::gethostname(name, sizeof name - 1);
    return c.text("hostname") == name;
}

int host_name(const Context& c) {
    const bool hosts = in_the_hosts(c);
    char name[256]{};
    ::gethostname(name, sizeof name - 1);
    const int result = done(::sethostname(name, std::strlen(name)));
    return result == 0 && !hosts ? only_its_own : result;
}

int domain_name(const Context& c) {
    char name[256]{};
    if (::getdomainname(name, sizeof name - 1) != 0) return errno;
    const int result = done(::setdomainname(name, std::strlen(name)));
    return result == 0 && !in_the_hosts(c) ? only_its_own : result;
}

// To what it is: only the right to set it is tried.
int time_zone(const Context&) {
    struct timezone zone {};
    if (::syscall(SYS_gettimeofday, nullptr, &zone) != 0) return errno;
    return done(::syscall(SYS_settimeofday, nullptr, &zone));
}

int clock_speed(const Context&) {
    timex values{};
    if (::adjtimex(&values) < 0) return errno;
    values.modes = ADJ_FREQUENCY;
    return done(::adjtimex(&values));
}

int clock_speed_by_number(const Context&) {
    timex values{};
    if (::syscall(SYS_clock_adjtime, CLOCK_REALTIME, &values) < 0) return errno;
    values.modes = ADJ_FREQUENCY;
    return done(::syscall(SYS_clock_adjtime, CLOCK_REALTIME, &values));
}

int kernel_messages(const Context&) { return done(::syscall(SYS_syslog, 9, nullptr, 0)); }   // how much is unread
int hang_up(const Context&) { return done(::syscall(SYS_vhangup)); }

int watch_the_mount(const Context&) { return done(::syscall(SYS_fanotify_init, FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC)); }

int watch_a_file(const Context&) { return done(::syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC, 0)); }

constexpr std::uint32_t privileged = capabilities | filter;

constexpr Attempt table[] = {
    {"io-uring", "sets up io_uring, whose operations no filter sees", io_uring, filter | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"bpf", "makes a bpf map", bpf_map, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"userfaultfd", "handles its own page faults, to hold up the kernel", user_fault, filter | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"perf-cpu", "counts events of a whole processor", perf_of_the_machine, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"personality-addresses", "turns address randomisation off", without_randomisation, filter, "EPERM", "EPERM"},
    {"personality-exec", "makes all that is readable executable", readable_is_executable, filter, "EPERM", "EPERM"},
#if defined(__x86_64__)
    {"modify-ldt", "makes a segment of its own", local_descriptors, filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"iopl", "takes all ports of the machine", all_ports, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"ioperm", "takes one port of the machine", one_port, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
#endif
    {"kexec", "loads another kernel", another_kernel, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"kexec-file", "loads another kernel from a file", another_kernel_file, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"init-module", "loads a module", load_module, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"finit-module", "loads a module from a file", load_module_file, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"delete-module", "takes a module away", unload_module, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"reboot", "restarts the machine", restart_machine, privileged, "EPERM", "EPERM"},
    {"swapon", "adds swap space", swap_on, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"swapoff", "takes swap space away", swap_off, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"quotactl", "writes quotas out", quotas, filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"acct", "turns process accounting on", accounting, privileged | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"sethostname", "sets the host's name", host_name, privileged | uts, "EPERM", "EPERM"},
    {"setdomainname", "sets the host's domain name", domain_name, privileged | uts, "EPERM", "EPERM"},
    {"settimeofday", "sets the time zone", time_zone, privileged, "EPERM", "EPERM"},
    {"adjtimex", "makes the clock faster", clock_speed, privileged, "EPERM", "EPERM"},
    {"clock-adjtime", "makes a clock faster, by its number", clock_speed_by_number, privileged, "EPERM", "EPERM"},
    {"syslog", "reads the kernel's messages", kernel_messages, privileged, "EPERM", "EPERM"},
    {"vhangup", "hangs the terminal up", hang_up, privileged, "EPERM", "EPERM"},
    {"fanotify", "decides on the opens of others", watch_the_mount, privileged, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"fanotify-file", "watches by fanotify as an ordinary user", watch_a_file, filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
};

}  // namespace

std::span<const Attempt> on_the_kernel() { return table; }

}  // namespace attempts
