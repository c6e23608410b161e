#include "helpers/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace warder::helpers {
namespace {

constexpr const char* grant = "logs";

// Lent for appending only. One that is not there is made first, and then asked for as any other: so that O_APPEND holds,
// and somebody's `truncate` leaves no hole.
int borrow(warder_connection* connection, const char* file) {
    const int fd = warder_open(connection, grant, file, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (fd >= 0 || errno != ENOENT) return fd;
    const int made = warder_open(connection, grant, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0);
    if (made < 0) return -1;
    ::close(made);
    return warder_open(connection, grant, file, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
}

}  // namespace

void LogFile::set_limits(Limits limits) {
    if (limits == limits_) return;
    limits_ = limits;
    rotate_at_ = limits.max_size;
    rotated_ = max_kept;
    tidy_ = false;
}

void LogFile::append(std::string_view lines, std::string_view stamp) {
    if (lines.empty()) return;
    if (ready_for(lines.size()) && tell_losses(stamp) && write_some(lines)) return;
    why_lost_ = errno;
    lost_ += count_lines(lines);
}

void LogFile::retry(std::string_view stamp) {
    if (lost_ > 0 && !(ready_for(0) && tell_losses(stamp))) why_lost_ = errno;
}

void LogFile::close_file() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool LogFile::open_file() {
    if (fd_ < 0) fd_ = borrow(connection_, place_.file.c_str());
    out_of_descriptors_ = fd_ < 0 && errno == EMFILE;
    struct stat found{};
    if (fd_ < 0 || ::fstat(fd_, &found) != 0) return false;
    size_ = static_cast<std::uint64_t>(found.st_size);
    if (found.st_nlink > 0) return true;
    // Somebody removed it: what is written to it now would be seen by nobody.
    close_file();
    fd_ = borrow(connection_, place_.file.c_str());
    size_ = 0;
    return fd_ >= 0;
}

bool LogFile::ready_for(std::size_t bytes) {
    if (!open_file()) return false;
    const bool full = limits_.max_size > 0 && size_ > 0 && size_ + bytes > rotate_at_;
    if (!full) return true;
    // Too much in one file is better than lines that are lost: a rotation that fails is tried again somewhat later.
    rotate_at_ = rotate() ? limits_.max_size : size_ + limits_.max_size / 8;
    return open_file();
}

bool LogFile::tell_losses(std::string_view stamp) {
    if (lost_ == 0) return true;
    const std::string notice = (torn_ ? "\n" : "") + lost_notice(place_.stamped, lost_, std::strerror(why_lost_), stamp);
    std::string_view left = notice;
    if (!write_some(left)) return false;
    lost_ = 0;
    return true;
}

bool LogFile::rotate() {
    const bool gone = limits_.keep > 0 ? shift_rotated() : warder_unlink(connection_, grant, place_.file.c_str()) == 0;
    if (!gone) return false;
    close_file();
    if (!tidy_) remove_beyond();
    return true;
}

// The first rename that finds something tells how many rotated files there are now.
bool LogFile::shift_rotated() {
    const auto steps = rotation(place_.file, limits_.keep, rotated_);
    rotated_ = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const bool done = warder_rename(connection_, grant, steps[i].from.c_str(), steps[i].to.c_str()) == 0;
        if (!done && errno != ENOENT) return false;
        if (done && rotated_ == 0) rotated_ = static_cast<std::uint32_t>(steps.size() - i);
    }
    return true;
}

void LogFile::remove_beyond() {
    tidy_ = true;
    for (std::uint32_t number = limits_.keep + 1; number <= max_kept; ++number) {
        if (warder_unlink(connection_, grant, rotated_name(place_.file, number).c_str()) != 0) return;
    }
}

// Takes off `text` what was written; false when something is left, and errno says why.
bool LogFile::write_some(std::string_view& text) {
    while (!text.empty()) {
        const ssize_t size = ::write(fd_, text.data(), text.size());
        if (size < 0 && errno == EINTR) continue;
        if (size == 0) errno = EIO;
        if (size <= 0) return false;
        torn_ = text[static_cast<std::size_t>(size) - 1] != '\n';
        text.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
}

}  // namespace warder::helpers
