// A uid for each worker without a named user, out of a range, the same over restarts. A number is never given to another
// name: files of the one must not become the other's (T38); but who operates warderd may forget a name. The record is a text file, one
// "NAME UID" a line.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>

#include "base/error.h"

namespace warder::daemon {

class UidRegistry {
public:
    // Reads the record; one that is not there yet is empty. Errors: read(2)'s, EINVAL for a record that is not in its form, with
    // `fault`: which line, and what to do. It is never guessed at, since a wrong guess gives files away.
    static Result<UidRegistry> load(std::string path, uid_t first, uid_t last, std::string& fault);

    // The number of `name`, given now and recorded (fsync) if it has none. Errors: ENOSPC when the range is used up; those
    // of writing the record.
    Result<uid_t> number_of(const std::string& name);

    // Its number is free for another name from now on. Errors: ENOENT; those of writing the record.
    Result<uid_t> forget(const std::string& name);

    // Numbers of the range that nobody has.
    std::size_t left() const;

    // In words, when few are left: what becomes of it, and what to do. Otherwise empty.
    std::string shortage() const;

    // For `check` and `--plan`, which change nothing: the number, if it has one.
    std::map<std::string, uid_t> const& all() const { return numbers_; }

private:
    UidRegistry(std::string path, uid_t first, uid_t last) : path_(std::move(path)), first_(first), last_(last) {}
    bool take_line(std::string_view line, std::string& fault);
    uid_t free_number() const;
    Result<void> save() const;

    std::string path_;
    uid_t first_;
    uid_t last_;
    std::map<std::string, uid_t> numbers_;
    std::set<uid_t> given_;
};

}  // namespace warder::daemon
