// One log file with its rotated predecessors, written through descriptors that warderd lends under the grant "logs". A disk
// that is full loses lines, which are counted and told of in the file when it works again; the keeper says so meanwhile.
// Nothing here ever ends the keeper.
#pragma once

#include <warder/warder.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "helpers/log_lines.h"

namespace warder::helpers {

class LogFile {
public:
    LogFile(warder_connection* connection, Place place) : connection_(connection), place_(std::move(place)) {}
    LogFile(LogFile&&) = delete;
    ~LogFile() { close_file(); }

    const Place& place() const { return place_; }
    void set_limits(Limits limits);

    // Writes whole lines, in a new file if the present one would grow too large. `stamp` is for what the file says itself.
    void append(std::string_view lines, std::string_view stamp);

    // Gives the descriptor back; the next append asks again.
    void close_file();

    // What was lost since it last could be written is told in the file, if that can be done now.
    void retry(std::string_view stamp);
    // Lines are lost, and the file does not say so yet.
    bool losing() const { return lost_ > 0; }
    int why_losing() const { return why_lost_; }   // errno

    // The keeper has no room for another descriptor: others should close_file().
    bool out_of_descriptors() const { return out_of_descriptors_; }

private:
    bool open_file();
    bool ready_for(std::size_t bytes);
    bool tell_losses(std::string_view stamp);
    bool rotate();
    bool shift_rotated();
    void remove_beyond();
    bool write_some(std::string_view& text);

    warder_connection* connection_;
    Place place_;
    Limits limits_;
    int fd_ = -1;
    bool torn_ = false;                    // the last line that went out is not whole
    bool out_of_descriptors_ = false;
    std::uint64_t size_ = 0;               // as it was at the last look
    std::uint64_t rotate_at_ = Limits{}.max_size;   // bytes; more than that after a rotation that failed
    std::uint32_t rotated_ = max_kept;    // how many rotated files there may be; max_kept until one rotation has looked
    bool tidy_ = false;                    // nothing is left of a time when more were kept
    std::uint64_t lost_ = 0;               // lines
    int why_lost_ = 0;                     // errno
};

}  // namespace warder::helpers
