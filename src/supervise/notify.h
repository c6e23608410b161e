// Notify: the receiving end of NOTIFY_SOCKET, sd_notify(3). One socket file for each worker, for all of its lives. Only the
// main process is believed; what others say is dropped. Descriptors are refused where the kernel can, else closed.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fixed_string.h"
#include "sys/channel.h"

namespace warder::supervise {

// Where a worker finds the socket in a sandbox with a root of its own.
inline constexpr std::string_view notify_target = "/run/warder/notify";

// What one message said. MAINPID, FDSTORE and what is unknown is left aside: nobody names another main process.
struct Notification {
    bool ready = false;
    bool stopping = false;
    bool watchdog = false;
    bool has_status = false;
    FixedString<256> status;   // control characters and broken text replaced by "?"
};

Notification parse_notification(std::string_view text);

// What is kept of a worker's own words: whole characters that can be shown, as many as there is room for.
FixedString<256> printable_status(std::string_view text);

class NotifySocket {
public:
    // Binds `path` anew, root's own with mode 0600. Errors: ENAMETOOLONG, those of bind(2).
    static Result<NotifySocket> create(const std::string& path);

    // Who may send to it from now on, and nobody else; does nothing where it is so already. Errors: those of chown(2).
    Result<void> give_to(uid_t uid, gid_t gid) const;

    NotifySocket(NotifySocket&&) noexcept = default;
    NotifySocket& operator=(NotifySocket&&) noexcept = default;
    ~NotifySocket();   // unlinks the path

    int get() const { return channel_.get(); }
    const std::string& path() const { return path_; }
    // Whether its name still leads to it.
    bool has_its_path() const;

    // The next message that `main` sent; nullopt: nothing more for now, or `budget` messages were looked at.
    std::optional<Notification> receive_from(pid_t main, int& budget);

    // Who said READY=1 and was not heard, since it is not the main process; told once, until the next life.
    std::optional<pid_t> take_unheard();

    // Throws away what is queued: it was said by a life that is over.
    void drain();

private:
    NotifySocket(std::string path, Channel channel) : path_(std::move(path)), channel_(std::move(channel)) {}

    std::string path_;
    Channel channel_;
    pid_t unheard_ = 0;
    bool told_ = false;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace warder::supervise
