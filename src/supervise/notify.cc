#include "supervise/notify.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/utf8.h"

namespace warder::supervise {
namespace {

// Bytes of the UTF-8 character that `text` begins with; 0: it is broken, or one that may deceive who reads it.
std::size_t printable_size(std::string_view text) {
    const Character first = first_character(text);
    return first.valid && !may_deceive(first.code) ? first.size : 0;
}

void take_line(std::string_view line, Notification& said) {
    constexpr std::string_view status = "STATUS=";
    if (line == "READY=1") said.ready = true;
    if (line == "STOPPING=1") said.stopping = true;
    if (line == "WATCHDOG=1") said.watchdog = true;
    if (!line.starts_with(status)) return;
    said.has_status = true;
    said.status = printable_status(line.substr(status.size()));
}

Result<Fd> bind_at(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, "the path of NOTIFY_SOCKET");
    std::memcpy(address.sun_path, path.data(), path.size());
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failure("socket for NOTIFY_SOCKET");
    ::unlink(path.c_str());
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return failure("bind of NOTIFY_SOCKET");
    }
    return fd;
}

// What is sent before SO_PASSCRED is on comes without a pid, and is dropped. On a kernel without SO_PASSRIGHTS the channel
// closes what comes in.
Result<void> authenticate(Channel& channel) {
    TRY(channel.pass_credentials());
    const auto refused = channel.refuse_descriptors();
    if (!refused && refused.error().number != ENOPROTOOPT) return refused;
    return {};
}

}  // namespace

FixedString<256> printable_status(std::string_view text) {
    FixedString<256> kept;
    while (!text.empty()) {
        const std::size_t size = printable_size(text);
        const std::string_view one = size == 0 ? std::string_view("?") : text.substr(0, size);
        if (one.size() > kept.capacity() - kept.size()) return kept;
        kept.append(one);
        text.remove_prefix(size == 0 ? 1 : size);
    }
    return kept;
}

Notification parse_notification(std::string_view text) {
    Notification said;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        take_line(text.substr(0, end), said);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return said;
}

Result<NotifySocket> NotifySocket::create(const std::string& path) {
    Channel channel(TRY(bind_at(path)));
    NotifySocket socket(path, std::move(channel));
    TRY(authenticate(socket.channel_));
    if (::chmod(path.c_str(), 0600) != 0) return failure("chmod of NOTIFY_SOCKET");
    struct stat made {};
    if (::lstat(path.c_str(), &made) != 0) return failure("lstat of NOTIFY_SOCKET");
    socket.device_ = made.st_dev;
    socket.inode_ = made.st_ino;
    return socket;
}

NotifySocket::~NotifySocket() {
    if (channel_) ::unlink(path_.c_str());
}

Result<void> NotifySocket::give_to(uid_t uid, gid_t gid) const {
    struct stat status {};
    const bool known = ::lstat(path_.c_str(), &status) == 0;
    if (known && (status.st_mode & 07777) != 0600 && ::chmod(path_.c_str(), 0600) != 0) return failure("chmod of NOTIFY_SOCKET");
    if (known && status.st_uid == uid && status.st_gid == gid) return {};
    if (::lchown(path_.c_str(), uid, gid) != 0) return failure("chown of NOTIFY_SOCKET");
    return {};
}

bool NotifySocket::has_its_path() const {
    struct stat found {};
    return ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
}

std::optional<Notification> NotifySocket::receive_from(pid_t main, int& budget) {
    std::array<std::byte, 4096> buffer;
    while (budget-- > 0) {
        const auto received = channel_.receive(buffer);
        if (!received || received->kind != Received::Kind::message) return std::nullopt;
        const bool from_main = received->authenticated && received->sender.pid == main;
        if (received->truncated) continue;
        if (from_main) return parse_notification(text_of(received->bytes));
        const bool other = main > 0 && received->authenticated && received->sender.pid > 0;
        if (other && unheard_ == 0 && parse_notification(text_of(received->bytes)).ready) unheard_ = received->sender.pid;
    }
    return std::nullopt;
}

std::optional<pid_t> NotifySocket::take_unheard() {
    if (unheard_ == 0 || told_) return std::nullopt;
    told_ = true;
    return unheard_;
}

void NotifySocket::drain() {
    // A queue holds at most net.unix.max_dgram_qlen messages; nobody who could fill it again lives now.
    int budget = 4096;
    receive_from(-1, budget);
    unheard_ = 0;
    told_ = false;
}

}  // namespace warder::supervise
