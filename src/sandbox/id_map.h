// The maps of a user namespace, as values: with the worker's own number put in, as the kernel takes and tells them, and in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/plan.h"

namespace warder::sandbox {

// With `own` in the place of own_id, by the numbers inside.
std::vector<IdRange> resolved(const std::vector<IdRange>& map, std::uint32_t own);

// The number that `outside` has inside.
std::optional<std::uint32_t> inside_of(const std::vector<IdRange>& map, std::uint32_t outside);

// "0 64000 1\n": what is written to uid_map and gid_map in /proc (user_namespaces(7)).
std::string text_of(const std::vector<IdRange>& map);

// What was read there. Nothing if it is no such text.
std::optional<std::vector<IdRange>> parse_id_map(std::string_view text);

// "0:64000:1 1:100000:65536"; `own` as "self".
std::string in_words(const std::vector<IdRange>& map);

}  // namespace warder::sandbox
