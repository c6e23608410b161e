// How a job travels from the parent to an opener and back. Both ends are the same binary, so this is not a protocol; it is
// decoded as carefully all the same.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "broker/dependencies.h"
#include "broker/memory_account.h"
#include "sys/fd.h"
#include "sys/kernel.h"

namespace warder::opener {

// A SEQPACKET datagram may be no longer than the socket's buffer (208 KiB unless configured).
inline constexpr std::size_t max_job = 160 * 1024;

// The descriptors that go along: first the worker's channel, then held directories and listeners, each once.
struct JobFds {
    std::array<int, kernel::scm_max_fd> numbers{};
    std::size_t count = 0;
};

// What may be made for its worker is appended when it is sent (append_memory). Errors: EMSGSIZE when it does not fit, or names more than 252 directories and listeners.
Result<Bytes> encode(MutableBytes buffer, std::uint64_t id, const broker::Job& job, JobFds& fds);

// Whether some of what is to be performed makes memory; then what is left of it follows the job.
bool makes_memory(Bytes job);
// The job, which may lie at the beginning of `buffer`, with this behind it. Errors: EMSGSIZE.
Result<Bytes> append_memory(MutableBytes buffer, Bytes job, const broker::MemoryLeft& left);

// A job taken apart: texts point into the bytes, descriptors are the numbers given for each place.
struct JobView {
    std::uint64_t id = 0;
    WorkerId worker{};
    std::uint32_t generation = 0;
    RequestId request{};
    Identity identity;
    std::size_t count = 0;
    std::uint64_t memory_left = 0;
    Bytes to_look_at;   // MadeMemory, one after the other
};

// Fills `items` (at least 253 of them). `fds` are the numbers that the places stand for; in the parent, where they are not
// needed any more, it is empty and every place becomes -1. Errors: EPROTO.
Result<JobView> decode(Bytes bytes, std::span<const int> fds, std::span<broker::JobItem> items);

// The answer by value.
struct LookedAt {
    std::size_t count = 0;
    broker::MemoryAccount::Places there;
};
Result<Bytes> encode_results(MutableBytes buffer, std::uint64_t id, std::span<const broker::JobResult> results,
                             const LookedAt& looked_at = {});

struct ResultsView {
    std::uint64_t id = 0;
    std::size_t count = 0;
    LookedAt looked_at;
};
Result<ResultsView> decode_results(Bytes bytes, std::span<broker::JobResult> results);

}  // namespace warder::opener
