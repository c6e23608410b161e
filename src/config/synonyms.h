// What others call our keys: systemd, compose, bubblewrap, supervisord. A wrong key is first looked up here and only then compared by
// its letters, which know nothing of what it means. Values only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace warder::config {

// What to write instead of `word` where `known` may stand: "did you mean \"exec\"?", or where it goes. Empty: nothing is known of it.
std::string meant_by(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace warder::config
