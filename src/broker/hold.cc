#include "broker/hold.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/mount_table.h"
#include "broker/make.h"
#include "broker/perform.h"
#include "broker/socket_name.h"
#include "policy/path.h"
#include "sys/kernel.h"
#include "sys/path_walk.h"

namespace warder::broker {
namespace {

bool names_a_path(const policy::Grant& grant) {
    switch (grant.kind) {
        case policy::Kind::file:
        case policy::Kind::tree:
        case policy::Kind::secret:
        case policy::Kind::device:
        case policy::Kind::syslog: return true;
        case policy::Kind::listener:
        case policy::Kind::peer: return grant.address.family == policy::Family::unix_path;
        default: return false;
    }
}

std::string_view path_of(const policy::Grant& grant) {
    const bool socket = grant.kind == policy::Kind::listener || grant.kind == policy::Kind::peer;
    return socket ? std::string_view(grant.address.name) : std::string_view(grant.path);
}

void name_parts(Held& held, const policy::Grant& grant, std::string_view path) {
    if (grant.kind == policy::Kind::tree) {
        held.directory_path = path;
        return;
    }
    held.directory_path = policy::directory_of(path);
    held.leaf = policy::name_of_file(path);
}

using Path = FixedString<policy::max_path>;

// Where the system's log really is: /dev/log is a symlink, and none is followed when a worker asks.
Result<Path> target_of(const policy::Grant& grant, std::uint64_t also) {
    const Fd found = TRY(open_at(AT_FDCWD, grant.path.c_str(), O_PATH, 0, RESOLVE_NO_MAGICLINKS | also));
    std::array<char, policy::max_path + 1> text;
    const ssize_t size = ::readlink(own_path(found.get()).c_str(), text.data(), text.size());
    if (size < 0) return failure("readlink");
    return Path({text.data(), static_cast<std::size_t>(size)});
}

// False when what the kernel has in memory does not tell where the log is. Where another's symlink leads, and not to its owner's, is
// not taken for the log's place.
bool follow_log(Held& held, const policy::Grant& grant, std::uint64_t also) {
    const auto target = target_of(grant, also);
    if (!target) return target.error().number != EAGAIN;
    const std::string_view path = target->view();
    if (policy::directory_of(path) == held.directory_path && policy::name_of_file(path) == held.leaf) return true;
    const auto found = open_to_show(grant.path, also);
    if (!found) return found.error().number != EAGAIN;
    std::array<char, policy::max_path + 1> text;
    const ssize_t size = ::readlink(own_path(found->get()).c_str(), text.data(), text.size());
    if (size > 0) name_parts(held, grant, std::string_view(text.data(), static_cast<std::size_t>(size)));
    return true;
}

// The administrator's prefix may go through symlinks, but never through the magic ones of /proc.
Result<Fd> open_prefix(const Held& held, Privileges& privileges, const Identity& worker, std::uint64_t also) {
    if (!held.by_root) return open_directory_for(worker, privileges, held.directory_path, also);
    privileges.become_root();
    return open_directory_as_root(held.directory_path, also);
}

void take_directory(Held& held, Fd directory, const FileIdentity& identity, std::int64_t type) {
    held.identity = identity;
    held.local = is_local(type);
    held.overlay = type == kernel::magic_overlayfs;
    held.kernel_view = is_kernel_view(type);
    held.directory = std::move(directory);
}

// At load, where waiting is in order.
Result<void> take_first(Held& held, Fd directory) {
    const FileIdentity identity = TRY(identify(directory.get()));
    auto type = file_system_in_memory(directory.get());
    if (!type) type = file_system_of(directory.get());
    if (!type) return Failure(type.error());
    take_directory(held, std::move(directory), identity, *type);
    return {};
}

// On use, where it is not: a FUSE server that is asked for its file system's type may never say. Before 6.8 the type of
// another file system is not known without asking, so that directory is left to the openers until the next load.
Recheck take_another(Held& held, Fd directory, const FileIdentity& identity) {
    if (identity.device == held.identity.device) {
        held.identity = identity;
        held.directory = std::move(directory);
        return Recheck::changed;
    }
    const auto type = file_system_in_memory(directory.get());
    if (!type) {
        held.directory.reset();
        return Recheck::unknown;
    }
    take_directory(held, std::move(directory), identity, *type);
    return Recheck::changed;
}

mode_t mode_of(const policy::Grant& grant, mode_t otherwise) { return grant.mode != 0 ? grant.mode : otherwise; }

bool listens(policy::Transport transport) {
    return transport != policy::Transport::udp && transport != policy::Transport::unix_dgram;
}

Result<void> set_option(int fd, int level, int option, int value, const char* doing) {
    if (::setsockopt(fd, level, option, &value, sizeof value) != 0) return failure(doing);
    return {};
}

Result<void> set_options(int fd, const policy::Grant& grant) {
    const auto transport = grant.address.transport;
    if (transport == policy::Transport::tcp) TRY(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt(SO_REUSEADDR)"));
    if (grant.reuse_port) TRY(set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt(SO_REUSEPORT)"));
    if (grant.address.family == policy::Family::ipv6) {
        TRY(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, grant.v6_only ? 1 : 0, "setsockopt(IPV6_V6ONLY)"));
    }
    return {};
}

// A path is bound as a single name in the held directory, which is the working directory for that one call: bind(2) has
// no form that takes a directory. The permission bits come from the umask, so that the path never has others.
Result<void> bind_path(int fd, const Held& held, const policy::Grant& grant) {
    if (held.elsewhere) return failure(EOPNOTSUPP, "binding a socket's path on NFS, FUSE or the like, for whose server warderd would wait");
    if (!held.directory) return failure(ENOENT, "bind");
    if (::fchdir(held.directory.get()) != 0) return failure("fchdir");
    const mode_t before = ::umask(static_cast<mode_t>(~mode_of(grant, 0660) & 0777));
    const SocketName name = unix_socket_name(held.leaf, Abstract::no);
    const bool bound = ::bind(fd, name.get(), name.size) == 0;
    const int error = errno;
    ::umask(before);
    if (::chdir("/") != 0) return failure("chdir");
    if (!bound) return failure(error, "bind");
    return {};
}

// A name in the held directory, and nothing that it may lead to.
Result<Fd> open_name(int directory, const std::string& leaf) {
    constexpr std::uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    return open_at(directory, leaf.c_str(), O_PATH | O_NOFOLLOW, 0, resolve);
}

// A path that is in the way is removed only if it is a socket that nobody answers on. That one is asked, whatever its name means by then.
Result<void> remove_dead_socket(const Held& held, const policy::Grant& grant) {
    const Fd found = TRY(open_name(held.directory.get(), held.leaf));
    struct stat about;
    if (::fstat(found.get(), &about) != 0) return failure("fstat");
    if (!S_ISSOCK(about.st_mode)) return failure(EADDRINUSE, "bind");
    Fd probe(::socket(AF_UNIX, socket_type(grant.address.transport) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe) return failure("socket");
    const SocketName name = unix_socket_name(own_path(found.get()).view(), Abstract::no);
    const bool answered = ::connect(probe.get(), name.get(), name.size) == 0 || errno != ECONNREFUSED;
    if (answered) return failure(EADDRINUSE, "bind");
    if (::unlinkat(held.directory.get(), held.leaf.c_str(), 0) != 0) return failure("unlinkat");
    return {};
}

Result<void> bind_in_place_of_dead(int fd, const Held& held, const policy::Grant& grant) {
    auto bound = bind_path(fd, held, grant);
    if (bound || bound.error().number != EADDRINUSE || !held.directory) return bound;
    TRY(remove_dead_socket(held, grant));
    return bind_path(fd, held, grant);
}

Result<void> bind_to(int fd, const policy::Grant& grant) {
    const SocketName name = socket_name(grant.address.address());
    if (::bind(fd, name.get(), name.size) != 0) return failure("bind");
    return {};
}

bool lets_kernel_choose(const policy::Grant& grant) {
    return grant.address.family == policy::Family::unix_abstract && grant.address.name.empty();
}

Result<void> show_chosen_name(int fd, Held& held, const policy::Grant& grant) {
    sockaddr_un name;
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return failure("getsockname");
    constexpr std::size_t before = offsetof(sockaddr_un, sun_path) + 1;
    if (size <= before) return failure(EADDRNOTAVAIL, "autobind");
    policy::Address chosen = grant.address.address();
    chosen.name = {name.sun_path + 1, size - before};
    held.shown = policy::format(chosen).view();
    return {};
}

// Whose peers see whom is settled at listen(2): with root's ids here, clients of the socket would be told uid 0.
Result<void> take_credentials(const policy::Grant& grant, Privileges& privileges, const Identity& worker) {
    const bool unix_socket = grant.address.family == policy::Family::unix_path ||
                             grant.address.family == policy::Family::unix_abstract;
    if (unix_socket && grant.as == policy::As::worker) return privileges.become(worker);
    privileges.become_root();
    return {};
}

// What was just bound, to be known again.
Result<void> remember_bound(Held& held, const Privileges& privileges) {
    held.bound = BoundPath{.directory = Fd(::fcntl(held.directory.get(), F_DUPFD_CLOEXEC, 0)), .leaf = held.leaf, .made = {},
                           .maker = privileges.current()};
    if (!held.bound.directory) return failure("fcntl");
    const Fd path = TRY(open_name(held.bound.directory.get(), held.leaf));
    held.bound.made = TRY(identify(path.get()));
    return {};
}

// The path of a listener with an `owner` is given to it by root, whoever bound it; the credentials are then as they
// were, since listen(2) is yet to come.
Result<void> give_path(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker) {
    if (grant.owner == policy::Owner::unset) return {};
    privileges.become_root();
    const Fd path = TRY(open_name(held.bound.directory.get(), held.bound.leaf));
    if (TRY(identify(path.get())) != held.bound.made) return failure(EPERM, "giving a socket's path to its owner");
    TRY(give(path.get(), owner_of(grant, worker), held.bound.maker.uid));
    held.bound.given = true;
    return take_credentials(grant, privileges, worker);
}

enum class Removed : std::uint8_t { done, not_permitted };

Removed remove_bound(const BoundPath& bound) {
    const auto path = open_name(bound.directory.get(), bound.leaf);
    const auto identity = path ? identify(path->get()) : Result<FileIdentity>(Failure(path.error()));
    if (!identity || *identity != bound.made) return Removed::done;   // it is another's by now, or gone
    const bool removed = ::unlinkat(bound.directory.get(), bound.leaf.c_str(), 0) == 0;
    return !removed && (errno == EPERM || errno == EACCES) ? Removed::not_permitted : Removed::done;
}

// What root gave away nobody but root may remove from a directory like /tmp.
void remove_path(Held& held, Privileges& privileges) {
    const BoundPath bound = std::exchange(held.bound, {});
    if (!bound.directory || !privileges.become(bound.maker)) return;
    if (remove_bound(bound) == Removed::done || !bound.given) return;
    privileges.become_root();
    remove_bound(bound);
}

// Binds the socket. What it is called then, stands in `held`.
Result<void> bind_listener(int fd, Held& held, const policy::Grant& grant, Privileges& privileges,
                           const Identity& worker) {
    if (grant.address.family != policy::Family::unix_path) {
        TRY(bind_to(fd, grant));
        return lets_kernel_choose(grant) ? show_chosen_name(fd, held, grant) : Result<void>();
    }
    TRY(bind_in_place_of_dead(fd, held, grant));
    TRY(remember_bound(held, privileges));
    return give_path(held, grant, privileges, worker);
}

Result<void> bind_and_listen(int fd, Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker) {
    TRY(set_options(fd, grant));
    TRY(bind_listener(fd, held, grant, privileges, worker));
    if (listens(grant.address.transport) && ::listen(fd, grant.backlog) != 0) return failure("listen");
    held.untouched = TRY(Untouched::of(fd));
    held.touched = false;
    return {};
}

}  // namespace

bool done_by_root(policy::Kind kind) {
    switch (kind) {
        case policy::Kind::secret:
        case policy::Kind::raw:
        case policy::Kind::packet:
        case policy::Kind::netlink:
        case policy::Kind::device:
        case policy::Kind::sysctl: return true;
        default: return false;
    }
}

Held hold(const policy::Grant& grant, Privileges& privileges, const Identity& worker, std::string_view mountinfo) {
    Held held;
    const bool socket = grant.kind == policy::Kind::listener || grant.kind == policy::Kind::peer;
    held.shown = socket ? policy::format(grant.address) : grant.path;
    if (!names_a_path(grant)) return held;
    held.by_root = done_by_root(grant.kind) || grant.as == policy::As::root;
    name_parts(held, grant, path_of(grant));
    privileges.become_root();
    if (grant.kind == policy::Kind::syslog) follow_log(held, grant, 0);
    // What others answer for is looked at by openers, when it is asked for.
    held.elsewhere = answered_by_others(mount_behind(mountinfo, held.directory_path).type);
    if (held.elsewhere) return held;
    auto directory = open_prefix(held, privileges, worker, 0);
    privileges.become_root();
    if (directory) {
        if (const auto taken = take_first(held, std::move(*directory)); !taken) held.directory.reset();
    }
    return held;
}

Recheck recheck(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker, Instant now) {
    if (held.directory && (grant.pin || now - held.checked < recheck_after)) return Recheck::same;
    if (grant.kind == policy::Kind::syslog) {
        privileges.become_root();
        if (!follow_log(held, grant, RESOLVE_CACHED)) return Recheck::unknown;
    }
    auto directory = open_prefix(held, privileges, worker, RESOLVE_CACHED);
    if (!directory && directory.error().number == EAGAIN) return Recheck::unknown;
    held.checked = now;
    if (!directory) {
        held.directory.reset();
        if (directory.error().number == EACCES) return Recheck::closed;
        return directory.error().number == EPERM ? Recheck::foreign : Recheck::gone;
    }
    const auto identity = identify(directory->get());
    if (!identity) return Recheck::unknown;
    if (held.directory && *identity == held.identity) return Recheck::same;
    privileges.become_root();
    return take_another(held, std::move(*directory), *identity);
}

Result<void> make_owned(const policy::Grant& grant, Privileges& privileges, const Identity& worker,
                        std::string_view mountinfo) {
    const Making what = making_of(grant);
    if (what == Making::nothing || answered_by_others(mount_behind(mountinfo, grant.path).type)) return {};
    privileges.become_root();
    return make(what, grant.path, making_mode(grant), owner_of(grant, worker));
}

Result<void> open_listener(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker) {
    const auto& address = grant.address;
    TRY(take_credentials(grant, privileges, worker));
    Fd fd(::socket(socket_family(address.family), socket_type(address.transport) | SOCK_CLOEXEC, 0));
    if (!fd) return failure("socket");
    auto opened = bind_and_listen(fd.get(), held, grant, privileges, worker);
    if (opened) held.listener = std::move(fd);
    else remove_path(held, privileges);
    return opened;
}

bool sound(const Held& held) {
    if (!held.listener || !held.untouched) return false;
    return std::ranges::all_of(held.untouched->differences(held.listener.get()), &Difference::can_be_put_back);
}

namespace {

std::string names_of(const std::vector<Difference>& differences) {
    constexpr std::size_t most = 6;   // a record's text is short
    std::string names;
    for (std::size_t i = 0; i < differences.size() && i < most; ++i) names += (i == 0 ? "" : ", ") + differences[i].name;
    if (differences.size() > most) names += " and " + std::to_string(differences.size() - most) + " more";
    return names;
}

// The same once more: how many may wait, and who listens, is said by listen(2) alone. Of vsock the kernel does not tell it.
bool listen_again(const Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker) {
    return take_credentials(grant, privileges, worker) && ::listen(held.listener.get(), grant.backlog) == 0;
}

}  // namespace

Renewal renew(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker, HiddenOptions hidden) {
    using enum Renewal::Outcome;
    if (!held.untouched) return {spoiled, "nothing is known of it"};
    const int fd = held.listener.get();
    if (grant.address.family == policy::Family::vsock && !listen_again(held, grant, privileges, worker)) return {spoiled, "no longer listening"};
    const auto found = held.untouched->differences(fd);
    const std::string names = names_of(found);
    if (hidden == HiddenOptions::possible) return {spoiled, names.empty() ? "options that the kernel does not tell may be set" : names};
    if (found.empty()) return {};
    if (!std::ranges::all_of(found, &Difference::can_be_put_back)) return {spoiled, names};
    const bool listened = std::ranges::any_of(found, [](const Difference& one) { return one.kind == Difference::Kind::backlog; });
    if (listened && (!listens(grant.address.transport) || !listen_again(held, grant, privileges, worker))) return {spoiled, names};
    privileges.become_root();
    // In order of their numbers, and once more: some change others.
    for (const auto& one : found) static_cast<void>(held.untouched->put_back(fd, one));
    for (const auto& one : held.untouched->differences(fd)) static_cast<void>(held.untouched->put_back(fd, one));
    return {held.untouched->differences(fd).empty() ? put_back : spoiled, names};
}

bool has_its_path(const Held& held) {
    const BoundPath& bound = held.bound;
    if (!bound.directory) return true;
    struct stat about;
    const auto path = open_name(bound.directory.get(), bound.leaf);
    const auto identity = path ? identify(path->get()) : Result<FileIdentity>(Failure(path.error()));
    return identity && *identity == bound.made && ::fstat(bound.directory.get(), &about) == 0 && about.st_nlink > 0;
}

void close_listener(Held& held, Privileges& privileges) {
    held.listener.reset();
    held.untouched.reset();
    held.touched = false;
    remove_path(held, privileges);
}

}  // namespace warder::broker
