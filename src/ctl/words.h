// Numbers and texts as people read them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace warder::ctl {

// "2d 3h", "3min 2s", "12s", "250ms": the two largest units, which is what one looks for.
std::string duration_in_words(std::int64_t milliseconds);

// "1.5 MiB", "512 B".
std::string size_in_words(std::uint64_t bytes);

// "0 lines", "1 line", "2 lines".
std::string counted(std::uint64_t count, std::string_view noun);

// Text of others (workers, files) for a terminal: control characters, C1 ones too, what turns or hides text (base/utf8.h), and
// bytes that are no UTF-8 become \xNN, so that nobody's log line moves the cursor or reads as another. Tabs stay.
std::string printable(std::string_view text);

// How many columns `text` takes: code points, which is right for all that is printed in tables here.
std::size_t width_of(std::string_view text);

}  // namespace warder::ctl
