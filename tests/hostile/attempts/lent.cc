// What a descriptor that was lent can still do: D1 to D15.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>

#include "attempt.h"

namespace attempts {
namespace {

// ---- Files ----

int open_again(const Context& c) {
    const int fd = ::open(("/proc/self/fd/" + std::to_string(c.lent[readable])).c_str(), O_RDWR | O_CLOEXEC);
    return fd < 0 ? errno : done(::ftruncate(fd, 0));
}

int change_mode(const Context& c) { return done(::fchmod(c.lent[writable], 0666)); }
int change_mode_by_path(const Context& c) {
    constexpr long number = 452;   // fchmodat2 (6.6), of both ABIs
    return done(::syscall(number, c.lent[writable], "", 0666, AT_EMPTY_PATH));
}
int change_access_list(const Context& c) {
    const struct {
        std::uint32_t version = 2;
        struct {
            std::uint16_t kind, rights;
            std::uint32_t id;
        } entries[3] = {{0x01, 6, ~0U}, {0x04, 6, ~0U}, {0x20, 6, ~0U}};   // owner, group, others
    } list;
    return done(::fsetxattr(c.lent[writable], "system.posix_acl_access", &list, sizeof list, 0));
}
int change_owner(const Context& c) { return done(::fchown(c.lent[writable], static_cast<uid_t>(c.number("user.uid")), static_cast<gid_t>(-1))); }
int change_times(const Context& c) { return done(::futimens(c.lent[writable], nullptr)); }
int add_attribute(const Context& c) { return done(::fsetxattr(c.lent[writable], "security.hostile", "x", 1, 0)); }

int set_flags(const Context& c) {
    int flags = 0;
    const int known = done(::ioctl(c.lent[writable], FS_IOC_GETFLAGS, &flags));
    if (known != 0) return known;
    int more = flags ^ FS_NODUMP_FL;
    const int result = done(::ioctl(c.lent[writable], FS_IOC_SETFLAGS, &more));
    if (result == 0) ::ioctl(c.lent[writable], FS_IOC_SETFLAGS, &flags);
    return result;
}

int set_extended_flags(const Context& c) {
    fsxattr before{};
    const int known = done(::ioctl(c.lent[writable], FS_IOC_FSGETXATTR, &before));
    if (known != 0) return known;
    fsxattr after = before;
    after.fsx_xflags ^= FS_XFLAG_NODUMP;
    const int result = done(::ioctl(c.lent[writable], FS_IOC_FSSETXATTR, &after));
    if (result == 0) ::ioctl(c.lent[writable], FS_IOC_FSSETXATTR, &before);
    return result;
}

int take_lease(const Context& c) {
    const int result = done(::fcntl(c.lent[writable], F_SETLEASE, F_WRLCK));
    if (result == 0) ::fcntl(c.lent[writable], F_SETLEASE, F_UNLCK);
    return result;
}

int notify(const Context& c) {
    const int directory = ::open(c.below("tmp").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0 ? errno : done(::fcntl(directory, F_NOTIFY, DN_MODIFY));
}

int lock_others_out(const Context& c) {
    const int result = done(::flock(c.lent[readable], LOCK_EX | LOCK_NB));
    if (result == 0) ::flock(c.lent[readable], LOCK_UN);
    return result;
}

int overwrite_by_flags(const Context& c) {
    const int flags = ::fcntl(c.lent[appendable], F_GETFL);
    if (::fcntl(c.lent[appendable], F_SETFL, flags & ~O_APPEND) != 0) return errno;
    const int result = done(::pwrite(c.lent[appendable], "X", 1, 0));
    ::fcntl(c.lent[appendable], F_SETFL, flags);
    return result;
}

int overwrite_by_call(const Context& c) {
    constexpr int no_append = 0x20;   // RWF_NOAPPEND (6.9)
    char byte = 'Y';
    iovec data{&byte, 1};
    return done(::pwritev2(c.lent[appendable], &data, 1, 0, no_append));
}

int empty_it(const Context& c) { return done(::ftruncate(c.lent[appendable], 0)); }

int upwards(const Context& c) {
    const int fd = ::openat(c.lent[directory], "../hidden/public", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno : 0;
}

// ---- Secrets ----

int write_secret(const Context& c) { return done(::pwrite(c.lent[secret], "x", 1, 0)); }
int shrink_secret(const Context& c) { return done(::ftruncate(c.lent[secret], 0)); }
int run_secret(const Context& c) {
    const int status = run("#" + std::to_string(c.lent[secret]), "nothing");
    return status < 0 ? -status : status;
}
int make_secret_executable(const Context& c) { return done(::fchmod(c.lent[secret], 0777)); }

int map_secret_executable(const Context& c) {
    void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, c.lent[secret], 0);
    return at == MAP_FAILED ? errno : 0;
}

int open_secret_again(const Context& c) {
    const int fd = ::open(("/proc/self/fd/" + std::to_string(c.lent[secret])).c_str(), O_RDWR | O_CLOEXEC);
    return fd < 0 ? errno : done(::pwrite(fd, "x", 1, 0));
}

// ---- A terminal ----

int type_into_it(const Context& c) {
    char letter = 'x';
    return done(::ioctl(c.lent[terminal], TIOCSTI, &letter));
}

int change_discipline(const Context& c) {
    int discipline = 0;   // what it has
    return done(::ioctl(c.lent[terminal], TIOCSETD, &discipline));
}

int take_terminal(const Context& c) {
    if (::setsid() < 0) return errno;
    return done(::ioctl(c.lent[terminal], TIOCSCTTY, 0));
}

int take_console(const Context& c) { return past_the_check(::ioctl(c.lent[terminal], TIOCCONS), EBUSY); }

// ---- A stream to somebody else ----

int out_of_band(const Context& c) { return done(::send(c.lent[stream], "x", 1, MSG_OOB | MSG_NOSIGNAL)); }

int pass_over(int socket) {
    char byte = 'x';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = STDIN_FILENO;
    std::memcpy(CMSG_DATA(head), &passed, sizeof passed);
    return done(::sendmsg(socket, &message, MSG_NOSIGNAL));
}

int pass_to_peer(const Context& c) { return pass_over(c.lent[stream]); }
int pass_to_parent(const Context& c) { return pass_over(static_cast<int>(c.number("broker"))); }

// ---- Inet sockets ----

sockaddr_in loopback(long port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

const sockaddr* plain(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

int connect_elsewhere(const Context& c) {
    const sockaddr nobody{AF_UNSPEC, {}};
    if (::connect(c.lent[connected], &nobody, sizeof nobody) != 0) return errno;
    const sockaddr_in address = loopback(c.number("user.tcp"));
    return done(::connect(c.lent[connected], plain(address), sizeof address));
}

// The listener has to be shut down first; where sending of this kind is denied, it is denied before that too.
// Kernels of 2026 refuse to connect what has listened (EINVAL).
int connect_by_sending(const Context& c) {
    const sockaddr_in address = loopback(c.number("user.tcp"));
    const auto send = [&] { return done(::sendto(c.lent[listener], "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, plain(address), sizeof address)); };
    if (const int error = send(); error == 0 || error == EPERM) return error;
    ::shutdown(c.lent[listener], SHUT_RD);
    return send();
}

int send_elsewhere(const Context& c) {
    const sockaddr_in address = loopback(c.number("user.udp"));
    return done(::sendto(c.lent[datagram], "x", 1, 0, plain(address), sizeof address));
}

int send_message_elsewhere(const Context& c) {
    sockaddr_in address = loopback(c.number("user.udp"));
    char byte = 'x';
    iovec data{&byte, 1};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    return done(::sendmsg(c.lent[datagram], &message, 0));
}

int send_messages_elsewhere(const Context& c) {
    sockaddr_in address = loopback(c.number("user.udp"));
    char byte = 'x';
    iovec data{&byte, 1};
    mmsghdr messages[1]{};
    messages[0].msg_hdr.msg_name = &address;
    messages[0].msg_hdr.msg_namelen = sizeof address;
    messages[0].msg_hdr.msg_iov = &data;
    messages[0].msg_hdr.msg_iovlen = 1;
    return done(::sendmmsg(c.lent[datagram], messages, 1, 0));
}

int reconnect_datagrams(const Context& c) {
    const sockaddr_in address = loopback(c.number("user.udp"));
    return done(::connect(c.lent[datagram], plain(address), sizeof address));
}

int bind_again(const Context& c) {
    const sockaddr nobody{AF_UNSPEC, {}};
    if (::connect(c.lent[datagram], &nobody, sizeof nobody) != 0) return errno;
    const sockaddr_in address = loopback(0);
    return done(::bind(c.lent[datagram], plain(address), sizeof address));
}

int shrink_backlog(const Context& c) { return done(::listen(c.lent[listener], 0)); }

constexpr int one = 1;

int set(int fd, int level, int option, const void* value, std::size_t size) {
    return done(::setsockopt(fd, level, option, value, static_cast<socklen_t>(size)));
}

int attach_filter(const Context& c) {
    sock_filter nothing[] = {{BPF_RET | BPF_K, 0, 0, 0xffffffff}};
    const sock_fprog program{1, nothing};
    const int result = set(c.lent[listener], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    ::setsockopt(c.lent[listener], SOL_SOCKET, SO_DETACH_FILTER, nullptr, 0);
    return result;
}

int balance_by_program(const Context& c) {
    sock_filter first[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    const sock_fprog program{1, first};
    constexpr int attach_reuseport = 51;
    return past_the_check(::setsockopt(c.lent[listener], SOL_SOCKET, attach_reuseport, &program, sizeof program), EINVAL);
}

int lock_filter(const Context& c) {
    const int no = 0;   // what it is
    return set(c.lent[listener], SOL_SOCKET, SO_LOCK_FILTER, &no, sizeof no);
}

// Packets that came through a router are dropped from then on, for all holders of the listener.
int refuse_the_far(const Context& c) {
    const int hops = 255;
    const int result = set(c.lent[listener], IPPROTO_IP, 21, &hops, sizeof hops);   // IP_MINTTL
    const int none = 0;
    if (result == 0) set(c.lent[listener], IPPROTO_IP, 21, &none, sizeof none);
    return result;
}

// Connections from there need a signature from then on.
int demand_signatures(const Context& c) {
    tcp_md5sig signature{};
    const sockaddr_in from = loopback(0);
    std::memcpy(&signature.tcpm_addr, &from, sizeof from);
    signature.tcpm_keylen = 1;
    const int result = set(c.lent[listener], IPPROTO_TCP, TCP_MD5SIG, &signature, sizeof signature);
    signature.tcpm_keylen = 0;
    if (result == 0) set(c.lent[listener], IPPROTO_TCP, TCP_MD5SIG, &signature, sizeof signature);
    return result;
}

int to_an_interface(const Context& c) {
    const int result = set(c.lent[listener], SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    ::setsockopt(c.lent[listener], SOL_SOCKET, SO_BINDTODEVICE, "", 0);
    return result;
}

// ---- Options that lead elsewhere, or change what others of the machine have (T39) ----

// Where the option was set it is taken back; what it was is its zero.
template <typename Value>
int set_and_take_back(int fd, int level, int option, const Value& value, const Value& before = {}) {
    const int result = set(fd, level, option, &value, sizeof value);
    if (result == 0) static_cast<void>(set(fd, level, option, &before, sizeof before));
    return result;
}

// A segment routing header: what is sent to the granted address goes on to another.
int route_by_segments(const Context& c) {
    struct {
        std::uint8_t next = 0, length = 4, type = 4, left = 1, last = 1, flags = 0;
        std::uint16_t tag = 0;
        in6_addr segments[2] = {IN6ADDR_LOOPBACK_INIT, IN6ADDR_LOOPBACK_INIT};
    } header;
    const int result = set(c.lent[datagram6], IPPROTO_IPV6, IPV6_RTHDR, &header, sizeof header);
    if (result == 0) ::setsockopt(c.lent[datagram6], IPPROTO_IPV6, IPV6_RTHDR, nullptr, 0);
    return result;
}

int route_by_older_option(const Context& c) {
    constexpr int packet_options = 6;   // IPV6_2292PKTOPTIONS: none, which is what it has
    return done(::setsockopt(c.lent[datagram6], IPPROTO_IPV6, packet_options, nullptr, 0));
}

int header_for_routers(const Context& c) {
    return done(::setsockopt(c.lent[datagram6], IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, nullptr, 0));
}

int leave_by_address6(const Context& c) { return set_and_take_back(c.lent[datagram6], IPPROTO_IPV6, IPV6_PKTINFO, in6_pktinfo{}); }
int leave_by_interface6(const Context& c) { return set_and_take_back(c.lent[datagram6], IPPROTO_IPV6, 76, std::uint32_t{0}); }   // IPV6_UNICAST_IF
int leave_by_interface(const Context& c) { return set_and_take_back(c.lent[datagram], IPPROTO_IP, 50, std::uint32_t{0}); }   // IP_UNICAST_IF

int route_by_ip_options(const Context& c) {
    const std::uint8_t nothing[] = {1, 1, 1, 1};
    const int result = set(c.lent[connected], IPPROTO_IP, IP_OPTIONS, nothing, sizeof nothing);
    if (result == 0) ::setsockopt(c.lent[connected], IPPROTO_IP, IP_OPTIONS, nullptr, 0);
    return result;
}

int pass_no_router(const Context& c) { return set_and_take_back(c.lent[connected], SOL_SOCKET, SO_DONTROUTE, 1); }
int connect_later_by_sending(const Context& c) { return past_the_check(::setsockopt(c.lent[connected], IPPROTO_TCP, 30, &one, sizeof one), EINVAL); }   // TCP_FASTOPEN_CONNECT
int change_protocol(const Context& c) { return past_the_check(::setsockopt(c.lent[connected], IPPROTO_TCP, 31, "nothing", 8), ENOENT); }   // TCP_ULP
int for_ipsec(const Context& c) { return set_and_take_back(c.lent[datagram], IPPROTO_UDP, 100, 0); }   // UDP_ENCAP: none, which is what it has

int join_a_group(const Context& c) {
    ip_mreq group{};
    group.imr_multiaddr.s_addr = htonl(0xe00000fb);
    group.imr_interface.s_addr = htonl(INADDR_LOOPBACK);
    const int result = set(c.lent[datagram], IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
    if (result == 0) set(c.lent[datagram], IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group);
    return result;
}

int slow_it_down(const Context& c) { return set_and_take_back(c.lent[listener], SOL_SOCKET, SO_MAX_PACING_RATE, 1UL, ~0UL); }
int choose_congestion(const Context& c) { return done(::setsockopt(c.lent[listener], IPPROTO_TCP, TCP_CONGESTION, "reno", 4)); }
int more_sockets(const Context& c) {
    static_cast<void>(c);
    return done(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int shut_down(const Context& c) { return done(::shutdown(c.lent[listener], SHUT_RDWR)); }

constexpr Group sockets = Group::sockets;

constexpr Attempt table[] = {
    {"D4-reopen", "opens a read-only file again for writing", open_again, mounts | landlock_files, "ENOENT", "ENOENT", readable},
    {"D15-fchmod", "changes the mode of a lent file", change_mode, strict_filter, "EPERM", "open", writable},
    {"D15-fchmodat2", "changes the mode of a lent file by a younger call", change_mode_by_path, filter, "EPERM", "EPERM", writable, "ENOSYS"},
    {"D15-acl", "lets others at a lent file by an access list", change_access_list, strict_filter, "EPERM", "open or EOPNOTSUPP", writable, "EOPNOTSUPP"},
    {"D15-fchown", "gives a lent file away", change_owner, capabilities, "EPERM", "EPERM", writable},
    {"D15-xattr", "changes an attribute of a lent file that the kernel's own code reads", add_attribute, capabilities | strict_filter, "EPERM", "EPERM", writable, "EOPNOTSUPP"},
    {"D15-setflags", "changes a lent file's flags (FS_IOC_SETFLAGS)", set_flags, strict_filter, "ENOTTY", "open or ENOTTY or EOPNOTSUPP", writable, "ENOTTY EOPNOTSUPP"},
    {"D15-fsxattr", "changes a lent file's extended flags (FS_IOC_FSSETXATTR)", set_extended_flags, strict_filter, "ENOTTY", "open or ENOTTY or EOPNOTSUPP", writable, "ENOTTY EOPNOTSUPP"},
    {"D15-lease", "takes a lease: others wait for it", take_lease, filter, "EPERM", "EPERM", writable},
    {"D15-notify", "is told what happens in a directory (F_NOTIFY)", notify, filter, "EPERM", "EPERM", none_lent, "EINVAL"},
    {"D15-times", "changes the times of a lent file", change_times, 0, "open", "open", writable},
    {"lock", "locks a lent file against others", lock_others_out, 0, "open", "open", readable},
    {"D14-setfl", "overwrites what it may append to: without O_APPEND", overwrite_by_flags, 0, "open", "open", appendable},
    {"D14-noappend", "overwrites what it may append to: RWF_NOAPPEND", overwrite_by_call, 0, "open", "open", appendable, "EOPNOTSUPP"},
    {"D14-truncate", "empties what it may append to", empty_it, 0, "open", "open", appendable},
    {"D3-upwards", "goes up from a directory that was lent", upwards, landlock_files, "not lent", "not lent", directory},
    {"D9-exec", "runs a secret", run_secret, user | exec_seal, "EACCES", "EACCES", secret},
    {"D9-chmod", "makes a secret executable", make_secret_executable, user | exec_seal | strict_filter, "EPERM", "EPERM", secret},
    {"D9-map", "maps a secret executable", map_secret_executable, 0, "open", "open", secret},
    {"D4-secret", "opens a secret again for writing", open_secret_again, user | mounts | seals, "ENOENT", "ENOENT", secret},
    {"secret-write", "writes to a secret", write_secret, seals, "EPERM", "EPERM", secret},
    {"secret-truncate", "shrinks a secret", shrink_secret, seals, "EPERM", "EPERM", secret},
    {"D7-sti", "types into a lent terminal", type_into_it, capabilities | filter, "EPERM", "EPERM", terminal, "EIO"},
    {"D7-discipline", "changes a terminal's line discipline", change_discipline, filter, "EPERM", "EPERM", terminal},
    {"D7-console", "takes the console's output", take_console, capabilities | filter, "EPERM", "EPERM", terminal},
    {"D7-session", "makes a lent terminal its own", take_terminal, filter, "EPERM", "EPERM", terminal},
    {"D10-oob", "sends out-of-band bytes over a lent socket", out_of_band, filter, "EPERM", "EPERM", stream, "EOPNOTSUPP"},
    {"D6-peer", "passes a descriptor over a lent unix socket", pass_to_peer, 0, "open", "open", stream},
    {"D6-parent", "passes a descriptor to warderd", pass_to_parent, pass_rights, "EPERM", "EPERM"},
    {"D2-sendto", "sends a datagram elsewhere", send_elsewhere, filter, "EPERM", "EPERM", datagram, "", sockets},
    {"D2-sendmsg", "sends a datagram elsewhere by sendmsg", send_message_elsewhere, filter, "EPERM", "EPERM", datagram, "", sockets},
    {"D2-sendmmsg", "sends a datagram elsewhere by sendmmsg", send_messages_elsewhere, filter, "EPERM", "EPERM", datagram, "", sockets},
    {"D2-connect", "connects a datagram socket elsewhere", reconnect_datagrams, filter, "EPERM", "EPERM", datagram, "", sockets},
    {"D5-bind", "binds a lent socket again", bind_again, filter, "EPERM", "EPERM", datagram, "", sockets},
    {"D1-connect", "disconnects a TCP socket and connects it elsewhere", connect_elsewhere, filter | landlock_ports, "EPERM", "EPERM", connected, "", sockets},
    {"D5-socket", "makes one more inet socket beside those lent", more_sockets, filter, "EPERM", "EPERM", none_lent, "", sockets},
    {"D13-backlog", "shrinks a listener's queue", shrink_backlog, filter, "EPERM", "EPERM", listener, "", sockets},
    {"D13-filter", "attaches a filter to a listener", attach_filter, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"D13-reuseport", "chooses who of a group of listeners is asked", balance_by_program, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"D13-lock", "locks a listener's filter", lock_filter, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"D13-minttl", "has a listener drop what came through a router", refuse_the_far, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"D13-md5", "has a listener demand signatures", demand_signatures, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "ENOPROTOOPT", sockets},
    {"D13-interface", "ties a listener to one interface", to_an_interface, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"T39-segments", "routes what it sends to elsewhere by segments (IPV6_RTHDR)", route_by_segments, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram6, "EPERM", sockets},
    {"T39-packet-options", "sets headers by an older option (IPV6_2292PKTOPTIONS)", route_by_older_option, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram6, "", sockets},
    {"T39-stops", "sets a header for stops on the way (IPV6_RTHDRDSTOPTS)", header_for_routers, capabilities | filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram6, "", sockets},
    {"T39-pktinfo", "chooses the address and interface it sends by (IPV6_PKTINFO)", leave_by_address6, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram6, "", sockets},
    {"T39-unicast6", "chooses the interface it sends by (IPV6_UNICAST_IF)", leave_by_interface6, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram6, "", sockets},
    {"T39-unicast", "chooses the interface it sends by (IP_UNICAST_IF)", leave_by_interface, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram, "", sockets},
    {"T39-ip-options", "sets a header where a route could be (IP_OPTIONS)", route_by_ip_options, filter, "ENOPROTOOPT", "ENOPROTOOPT", connected, "", sockets},
    {"T39-dontroute", "has its packets pass no router", pass_no_router, filter, "ENOPROTOOPT", "ENOPROTOOPT", connected, "", sockets},
    {"T39-fastopen", "connects by sending, later (TCP_FASTOPEN_CONNECT)", connect_later_by_sending, filter, "ENOPROTOOPT", "ENOPROTOOPT", connected, "EOPNOTSUPP", sockets},
    {"T39-ulp", "has another protocol take a socket over (TCP_ULP)", change_protocol, filter, "ENOPROTOOPT", "ENOPROTOOPT", connected, "EPERM", sockets},
    {"T39-encap", "has the kernel take its datagrams for IPsec (UDP_ENCAP)", for_ipsec, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram, "", sockets},
    {"T39-group", "has the host join a multicast group", join_a_group, filter, "ENOPROTOOPT", "ENOPROTOOPT", datagram, "ENODEV", sockets},
    {"D13-pacing", "slows down all that a listener accepts", slow_it_down, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "", sockets},
    {"D13-congestion", "chooses how those that a listener accepts share the network", choose_congestion, filter, "ENOPROTOOPT", "ENOPROTOOPT", listener, "EPERM ENOENT", sockets},
    {"D13-shutdown", "shuts a listener down", shut_down, 0, "open", "open", listener, "", sockets},
    {"D1-fastopen", "shuts a listener down and connects it elsewhere by sending (MSG_FASTOPEN)", connect_by_sending, filter, "EPERM", "EPERM", listener, "EINVAL", sockets},
};

}  // namespace

std::span<const Attempt> on_what_is_lent() { return table; }

}  // namespace attempts
