// Numbers that must not be mixed up. Each is its own type; none converts to another.
#pragma once

#include <cstdint>

namespace warder {

// A worker's place in the roster. Given once and never reused while warderd runs.
enum class WorkerId : std::uint32_t {};

// A grant's place among its worker's grants, in the order of the config. Carried in replies and audit records.
enum class GrantId : std::uint32_t { none = 0xffffffffU };

// Chosen by the worker, echoed in the reply. 0 is for events, which nobody asked for.
enum class RequestId : std::uint32_t { event = 0 };

template <typename Id>
constexpr std::uint32_t number(Id id) {
    return static_cast<std::uint32_t>(id);
}

}  // namespace warder
