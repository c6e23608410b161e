#include "daemon/worker_sockets.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <unordered_map>

#include "sys/files.h"

namespace warder::daemon {
namespace {

// However many sockets there are, whoever asks is answered soon.
constexpr std::size_t max_of_process = 1024;          // descriptors looked at
constexpr std::size_t max_processes = 32;             // of one worker
constexpr std::size_t max_examined = 20'000;          // of the kernel's tables
constexpr std::size_t max_of_proc = 256 * 1024;       // bytes of /proc/PID/net/unix

struct Entry {
    const SocketHolder* holder = nullptr;   // null: warderd
    pid_t pid = 0;
    int fd = -1;
    std::uint64_t inode = 0;
};

// "socket:[12345]"; 0: no socket.
std::uint64_t socket_in(std::string_view link) {
    constexpr std::string_view head = "socket:[";
    std::uint64_t inode = 0;
    if (link.starts_with(head)) std::from_chars(link.data() + head.size(), link.data() + link.size(), inode);
    return inode;
}

}  // namespace

struct SocketGathering::State {
public:
    State(const SocketTables& tables, pid_t warderd) : tables_(tables), warderd_(warderd) { look_into(nullptr, ::getpid()); }

    control::SocketsReport report(std::span<const SocketHolder> holders, std::string_view wanted) {
        holders_ = holders;
        look_into_processes();
        ask_the_kernel();
        ask_namespaces();
        control::SocketsReport report;
        report.complete = complete_;
        for (const Entry& entry : entries_) {
            auto one = report_of(entry);
            if (wanted.empty() || one.worker == wanted) report.sockets.push_back(std::move(one));
        }
        return report;
    }

private:
    void look_into_processes() {
        for (const SocketHolder& holder : holders_) {
            if (holder.processes.size() > max_processes) complete_ = false;
            for (const pid_t pid : std::span(holder.processes).first(std::min(holder.processes.size(), max_processes))) {
                look_into(&holder, pid);
            }
        }
    }

    void look_into(const SocketHolder* holder, pid_t pid) {
        const std::string path = "/proc/" + std::to_string(pid) + "/fd";
        const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
        if (!directory) return;
        std::size_t looked_at = 0;
        while (const dirent* entry = ::readdir(directory.get())) {
            if (holder != nullptr && ++looked_at > max_of_process) {
                complete_ = false;
                return;
            }
            take({holder, holder == nullptr ? warderd_ : pid, -1, 0}, ::dirfd(directory.get()), entry->d_name);
        }
    }

    void take(Entry entry, int directory, const char* name) {
        std::array<char, 64> link{};
        const ssize_t size = ::readlinkat(directory, name, link.data(), link.size());
        if (size <= 0) return;
        entry.inode = socket_in({link.data(), static_cast<std::size_t>(size)});
        const bool numbered = std::from_chars(name, name + std::strlen(name), entry.fd).ec == std::errc{};
        if (entry.inode == 0 || !numbered) return;
        entries_.push_back(entry);
        facts_.emplace(entry.inode, SocketFacts{});
        holders_of_[entry.inode] = entries_.size() - 1;
    }

    void ask_the_kernel() {
        std::size_t unknown = facts_.size();
        const auto complete = tables_.each(
            [&](SocketFacts facts) {
                if (const auto found = facts_.find(facts.inode); found != facts_.end()) {
                    found->second = std::move(facts);
                    --unknown;
                }
                return unknown > 0;
            },
            max_examined);
        complete_ = complete_ && complete && *complete;
    }

    // One process stands for its namespace; those whose sockets are all known are not asked.
    void ask_namespaces() {
        std::map<std::string, bool> asked;
        for (const Entry& entry : entries_) {
            if (entry.holder == nullptr || facts_.at(entry.inode).inode != 0) continue;
            const std::string process = "/proc/" + std::to_string(entry.pid);
            std::array<char, 64> link{};
            const ssize_t size = ::readlink((process + "/ns/net").c_str(), link.data(), link.size());
            if (size <= 0 || !asked.emplace(std::string(link.data(), static_cast<std::size_t>(size)), true).second) continue;
            const auto text = read_file(process + "/net/unix", max_of_proc);
            if (text) take_unix(*text);
            else complete_ = complete_ && text.error().number != EFBIG;
        }
    }

    void take_unix(std::string_view text) {
        for (auto& facts : decode_proc_unix(text)) {
            const auto found = facts_.find(facts.inode);
            if (found != facts_.end() && found->second.inode == 0) found->second = std::move(facts);
        }
    }

    control::SocketReport report_of(const Entry& entry) const {
        const SocketFacts& facts = facts_.at(entry.inode);
        control::SocketReport report;
        report.protocol = name_of(facts.kind);
        report.queues = facts.queues;
        report.state = socket_state_name(facts.state);
        report.receive_queue = facts.receive_queue;
        report.send_queue = facts.send_queue;
        report.local = facts.local;
        report.peer = facts.peer;
        report.inode = entry.inode;
        report.pid = entry.pid;
        report.fd = entry.fd;
        report.kept = entry.holder == nullptr;
        name_peer(facts.peer_inode, report);
        if (entry.holder != nullptr) name_grant(*entry.holder, report);
        else name_owner(entry.fd, report);
        return report;
    }

    void name_peer(std::uint64_t inode, control::SocketReport& report) const {
        report.peer_inode = inode;
        const auto held = holders_of_.find(inode);
        if (held == holders_of_.end()) return;
        const Entry& peer = entries_[held->second];
        report.peer_pid = peer.pid;
        if (peer.holder != nullptr) report.peer_worker = peer.holder->worker;
        if (const auto facts = facts_.find(inode); report.peer.empty()) report.peer = facts->second.local;
    }

    static void name_grant(const SocketHolder& holder, control::SocketReport& report) {
        report.worker = holder.worker;
        if (holder.principal == nullptr || !holder.principal->session) return;
        for (const auto& lent : holder.principal->session->lent.entries()) {
            if (lent.inode == report.inode) report.grant = holder.principal->settings.grants.at(lent.grant).name;
        }
    }

    // For whom warderd holds the socket: a kept listener, or its end of a worker's channel.
    void name_owner(int fd, control::SocketReport& report) const {
        for (const SocketHolder& holder : holders_) {
            if (holder.principal == nullptr) continue;
            const broker::Principal& principal = *holder.principal;
            if (principal.session && principal.session->channel->get() == fd) report.worker = holder.worker;
            for (std::size_t i = 0; i < principal.held.size(); ++i) {
                if (principal.held[i].listener.get() != fd) continue;
                report.worker = holder.worker;
                report.grant = principal.settings.grants.at(static_cast<GrantId>(i)).name;
            }
        }
    }

    const SocketTables& tables_;
    pid_t warderd_;
    std::span<const SocketHolder> holders_;
    std::vector<Entry> entries_;
    std::unordered_map<std::uint64_t, SocketFacts> facts_;           // by inode; inode 0: not found
    std::unordered_map<std::uint64_t, std::size_t> holders_of_;      // by inode: the last entry that has it
    bool complete_ = true;
};

SocketGathering::SocketGathering(const SocketTables& tables, pid_t pid) : state_(std::make_unique<State>(tables, pid)) {}
SocketGathering::~SocketGathering() = default;

control::SocketsReport SocketGathering::report(std::span<const SocketHolder> holders, std::string_view wanted) {
    return state_->report(holders, wanted);
}

}  // namespace warder::daemon
