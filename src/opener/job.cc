#include "opener/job.h"

#include <algorithm>

#include "protocol/message.h"

namespace warder::opener {
namespace {

struct Head {
    std::uint64_t id;
    std::uint32_t worker, generation, request, count;
    std::uint32_t uid, gid, group_count, makes_memory;
    std::array<gid_t, max_groups> groups;
};

struct Item {
    std::uint64_t argument;
    policy::Transport transport;
    policy::Family family;
    std::array<std::uint8_t, 16> ip;
    std::uint16_t operation, flags, reason;
    std::uint32_t port, mode, making_mode, owner, owner_group, grant, use, protocol;
    std::int32_t error;
    std::int16_t directory, lend;   // places among the descriptors; -1: none
    std::uint8_t settled, as, owned, cross_mounts, writes, making;
    policy::Family of_raw;
    // Lengths of the texts that follow the item, in this order.
    std::uint16_t text, grant_name, shown, prefix, path, second, name, interface;
};

std::int16_t place(JobFds& fds, int number) {
    if (number < 0) return -1;
    for (std::size_t i = 0; i < fds.count; ++i) {
        if (fds.numbers[i] == number) return static_cast<std::int16_t>(i);
    }
    if (fds.count == fds.numbers.size()) return -2;
    fds.numbers[fds.count] = number;
    return static_cast<std::int16_t>(fds.count++);
}

std::uint16_t length(std::string_view text) { return static_cast<std::uint16_t>(text.size()); }

Item wire_of(const broker::JobItem& item, JobFds& fds) {
    const auto& task = item.task;
    return {item.settled ? item.outcome.value : task.argument,
            task.address.transport,
            task.address.family,
            task.address.ip,
            static_cast<std::uint16_t>(task.operation),
            task.flags,
            static_cast<std::uint16_t>(item.outcome.reason),
            task.address.port,
            task.mode,
            task.making_mode,
            task.owner,
            task.owner_group,
            number(item.grant),
            item.use,
            task.protocol,
            item.outcome.error,
            place(fds, item.settled ? -1 : task.directory),
            place(fds, item.lend),
            item.settled,
            static_cast<std::uint8_t>(task.as),
            task.owned,
            task.cross_mounts,
            task.writes,
            static_cast<std::uint8_t>(task.making),
            task.family,
            length(item.outcome.text),
            length(item.grant_name),
            length(item.shown),
            length(task.prefix),
            length(task.path),
            length(task.second),
            length(task.address.name),
            length(task.interface)};
}

int number_at(std::span<const int> fds, std::int16_t index) {
    return index >= 0 && static_cast<std::size_t>(index) < fds.size() ? fds[static_cast<std::size_t>(index)] : -1;
}

void read_task(const Item& raw, std::span<const int> fds, broker::Task& task) {
    task = broker::Task{};
    task.operation = static_cast<Operation>(raw.operation);
    task.flags = raw.flags;
    task.mode = raw.mode;
    task.making = static_cast<broker::Making>(raw.making);
    task.making_mode = raw.making_mode;
    task.argument = raw.argument;
    task.family = raw.of_raw;
    task.protocol = raw.protocol;
    task.writes = raw.writes != 0;
    task.as = static_cast<policy::As>(raw.as);
    task.owner = raw.owner;
    task.owner_group = raw.owner_group;
    task.owned = raw.owned != 0;
    task.cross_mounts = raw.cross_mounts != 0;
    task.directory = number_at(fds, raw.directory);
    task.address.transport = raw.transport;
    task.address.family = raw.family;
    task.address.ip = raw.ip;
    task.address.port = raw.port;
}

void read_item(Reader& reader, std::span<const int> fds, broker::JobItem& item) {
    const auto raw = reader.take<Item>();
    item = broker::JobItem{};
    item.settled = raw.settled != 0;
    item.outcome.error = raw.error;
    item.outcome.reason = static_cast<Reason>(raw.reason);
    item.grant = item.outcome.grant = static_cast<GrantId>(raw.grant);
    item.use = raw.use;
    // In the parent, which asks without descriptors, what lends is still told apart from a denial.
    item.lend = fds.empty() ? raw.lend : number_at(fds, raw.lend);
    item.outcome.fds = raw.lend >= 0 ? 1 : 0;
    if (item.settled) item.outcome.value = raw.argument;
    read_task(raw, fds, item.task);
    const auto text = [&](std::uint16_t size) { return text_of(reader.take_bytes(size)); };
    item.outcome.text = text(raw.text);
    item.grant_name = text(raw.grant_name);
    item.shown = text(raw.shown);
    item.task.prefix = text(raw.prefix);
    item.task.path = text(raw.path);
    item.task.second = text(raw.second);
    item.task.address.name = text(raw.name);
    item.task.interface = text(raw.interface);
}

bool makes_memory(const broker::JobItem& item) {
    return !item.settled && (item.task.operation == Operation::list || item.task.operation == Operation::secret);
}

void read_memory(Reader& reader, JobView& view) {
    view.memory_left = reader.take<std::uint64_t>();
    const auto count = reader.take<std::uint64_t>();
    if (count > broker::MemoryAccount::capacity) return reader.poison();
    view.to_look_at = reader.take_bytes(count * sizeof(broker::MadeMemory));
}

}  // namespace

Result<Bytes> encode(MutableBytes buffer, std::uint64_t id, const broker::Job& job, JobFds& fds) {
    fds.count = 0;
    place(fds, job.channel);
    Writer writer(buffer);
    writer.put(Head{id, number(job.worker), job.generation, number(job.request),
                    static_cast<std::uint32_t>(job.items.size()), job.identity->uid, job.identity->gid,
                    static_cast<std::uint32_t>(job.identity->group_count),
                    std::ranges::any_of(job.items, [](const auto& item) { return makes_memory(item); }) ? 1U : 0U,
                    job.identity->groups});
    for (const auto& item : job.items) {
        const Item raw = wire_of(item, fds);
        if (raw.directory == -2 || raw.lend == -2) return failure(EMSGSIZE, "too many directories in one ask");
        writer.put(raw);
        for (const auto text : {item.outcome.text, item.grant_name, item.shown, item.task.prefix, item.task.path,
                                item.task.second, item.task.address.name, item.task.interface}) {
            writer.put_bytes(bytes_of(text));
        }
    }
    if (!writer.ok()) return failure(EMSGSIZE, "encoding a job");
    return writer.written();
}

bool makes_memory(Bytes job) { return Reader(job).take<Head>().makes_memory != 0; }

Result<Bytes> append_memory(MutableBytes buffer, Bytes job, const broker::MemoryLeft& left) {
    if (job.size() > buffer.size()) return failure(EMSGSIZE, "encoding a job");
    if (job.data() != buffer.data()) std::ranges::copy(job, buffer.begin());
    Writer writer(buffer.subspan(job.size()));
    writer.put(left.bytes);
    writer.put(static_cast<std::uint64_t>(left.to_look_at.size()));
    writer.put_bytes(std::as_bytes(left.to_look_at));
    if (!writer.ok()) return failure(EMSGSIZE, "encoding a job");
    return Bytes(buffer.first(job.size() + writer.used()));
}

Result<JobView> decode(Bytes bytes, std::span<const int> fds, std::span<broker::JobItem> items) {
    Reader reader(bytes);
    const auto head = reader.take<Head>();
    if (!reader.ok() || head.count > items.size() || head.group_count > max_groups) return failure(EPROTO, "job");
    JobView view{head.id, static_cast<WorkerId>(head.worker), head.generation, static_cast<RequestId>(head.request),
                 Identity{head.uid, head.gid, head.groups, head.group_count}, head.count, 0, {}};
    for (auto& item : items.first(head.count)) read_item(reader, fds, item);
    if (head.makes_memory != 0 && !reader.left().empty()) read_memory(reader, view);
    if (!reader.ok()) return failure(EPROTO, "job");
    return view;
}

Result<Bytes> encode_results(MutableBytes buffer, std::uint64_t id, std::span<const broker::JobResult> results,
                             const LookedAt& looked_at) {
    static_assert(std::is_trivially_copyable_v<LookedAt>);
    Writer writer(buffer);
    writer.put(id);
    writer.put(static_cast<std::uint64_t>(results.size()));
    for (const auto& result : results) writer.put(result);
    if (looked_at.count > 0) writer.put(looked_at);
    if (!writer.ok()) return failure(EMSGSIZE, "encoding results");
    return writer.written();
}

Result<ResultsView> decode_results(Bytes bytes, std::span<broker::JobResult> results) {
    Reader reader(bytes);
    const auto id = reader.take<std::uint64_t>();
    const auto count = reader.take<std::uint64_t>();
    if (!reader.ok() || count > results.size()) return failure(EPROTO, "results");
    for (auto& result : results.first(count)) result = reader.take<broker::JobResult>();
    ResultsView view{id, static_cast<std::size_t>(count), {}};
    if (!reader.left().empty()) view.looked_at = reader.take<LookedAt>();
    if (!reader.ok() || view.looked_at.count > broker::MemoryAccount::capacity) return failure(EPROTO, "results");
    return view;
}

}  // namespace warder::opener
