#include "opener/joiner.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "protocol/codec.h"
#include "sys/channel.h"
#include "sys/kernel.h"

namespace warder::opener {
namespace {

constexpr int first_channel = 3;
constexpr int second_channel = 4;
constexpr int lifted_from = 8;
constexpr int patience_ms = 1000;

[[noreturn]] void end(Joined how) { ::_exit(static_cast<int>(how)); }

// Nothing else of the parent's stays open, so that one of these that hangs holds up nobody's end of file.
void keep_channels(int first, int second) {
    const int lifted[] = {::fcntl(first, F_DUPFD_CLOEXEC, lifted_from), ::fcntl(second, F_DUPFD_CLOEXEC, lifted_from)};
    if (::dup3(lifted[0], first_channel, O_CLOEXEC) < 0 || ::dup3(lifted[1], second_channel, O_CLOEXEC) < 0) end(Joined::not_made);
    if (::close_range(second_channel + 1, ~0U, 0) != 0) end(Joined::not_made);
}

// SO_PASSCRED is left to the workers: with it on, a receiver whose buffer has room for its descriptors alone would lose them.
bool set_up(int fd, bool carries_fds) {
    const int off = 0;
    if (carries_fds) return true;
    return ::setsockopt(fd, SOL_SOCKET, kernel::so_passrights, &off, sizeof off) == 0 || errno == ENOPROTOOPT;
}

bool has_room(const Channel& channel) {
    pollfd room{channel.get(), POLLOUT, 0};
    return ::poll(&room, 1, patience_ms) == 1 && (room.revents & POLLOUT) != 0;
}

bool send_end(const Channel& channel, std::string_view grant, int fd) {
    std::array<std::byte, 1024> buffer;
    const auto message = protocol::encode_event(buffer, protocol::Type::channel, {grant, 0, 1});
    return message && channel.send(*message, std::span(&fd, 1));
}

[[noreturn]] void make_and_send(std::string_view first_grant, std::string_view second_grant, JoinOptions options) {
    const Channel first{Fd(first_channel)};
    const Channel second{Fd(second_channel)};
    int ends[2];
    const int type = options.stream ? SOCK_STREAM : SOCK_SEQPACKET;
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) end(Joined::not_made);
    if (!set_up(ends[0], options.carries_fds) || !set_up(ends[1], options.carries_fds)) end(Joined::not_made);
    // Neither gets an end while the other could not: a worker that is told twice has had a channel that was none.
    if (!has_room(first) || !has_room(second)) end(Joined::unread);
    if (!send_end(first, first_grant, ends[0])) end(Joined::unread);
    end(send_end(second, second_grant, ends[1]) ? Joined::both : Joined::first_only);
}

}  // namespace

Result<Cloned> join(Privileges& privileges, const JoinEnd& first, const JoinEnd& second, JoinOptions options) {
    privileges.become_root();
    Cloned child = TRY(clone_process(0, -1));
    if (child.pid != 0) return child;
    ::prctl(PR_SET_NAME, "warder-joiner");
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_DUMPABLE, 0);
    keep_channels(first.channel, second.channel);
    make_and_send(first.grant, second.grant, options);
}

}  // namespace warder::opener
