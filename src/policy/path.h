// Paths as text. Nothing here touches a disk: whether a path is clean and what lies below what is decided by bytes alone,
// so that a refusal can never tell whether a file exists.
#pragma once

#include <cstddef>
#include <string_view>

namespace warder::policy {

inline constexpr std::size_t max_path = 4095;   // bytes, PATH_MAX less its NUL

// Whether `path` may be looked at at all: not empty, at most max_path bytes, no NUL, no empty, "." or ".." component, no
// slash at the end. An absolute path begins with one slash; "/" alone is not clean: no file has that name.
bool clean_absolute(std::string_view path);
bool clean_relative(std::string_view path);

// Whether `path` lies below the directory `directory` ("/srv/www" covers "/srv/www/a", not "/srv/www" and not
// "/srv/wwwx"). Both clean; a directory of "/" covers everything.
bool covers(std::string_view directory, std::string_view path);

// What remains of `path` below `directory`, for a path that is covered: "a/b".
std::string_view below(std::string_view directory, std::string_view path);

std::string_view directory_of(std::string_view path);   // "/a/b" → "/a", "/a" → "/", "a" → ""
std::string_view name_of_file(std::string_view path);   // the last component

// A shell pattern without directories: '*' any run of bytes, '?' one byte, all else itself. A leading dot is matched only
// by a dot, as in a shell.
bool matches(std::string_view pattern, std::string_view name);

}  // namespace warder::policy
