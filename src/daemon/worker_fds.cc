#include "daemon/worker_fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "policy/subject.h"

namespace warder::daemon {
namespace {

constexpr std::size_t max_descriptors = 64 * 1024;   // looked at

struct TableEntry {
    int number = -1;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::string link;
};

std::string link_at(int directory, const char* name) {
    char text[4096];
    const ssize_t size = ::readlinkat(directory, name, text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

// What it is, as far as is known without asking whoever serves it. (fdinfo says it too, but of some kinds far more beside: of an epoll
// descriptor all that it watches, each time.)
bool identify(int directory, const char* name, TableEntry& entry) {
    struct statx about;
    const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
    if (::statx(directory, name, flags, STATX_INO, &about) != 0) return false;
    entry.device = makedev(about.stx_dev_major, about.stx_dev_minor);
    entry.inode = about.stx_ino;
    return true;
}

bool same(const TableEntry& entry, const broker::Lent& lent) { return entry.inode == lent.inode && entry.device == lent.device; }

struct Table {
    std::vector<TableEntry> entries;   // of what was lent
    bool whole = true;                 // every descriptor was looked at
};

// What is in the table of what was lent, or nothing where we may not look.
std::optional<Table> table_of(pid_t pid, std::span<const broker::Lent> lent) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd";
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return std::nullopt;
    Table table;
    std::size_t looked_at = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
        const char* const name = entry->d_name;
        TableEntry one;
        if (std::from_chars(name, name + std::strlen(name), one.number).ec != std::errc{}) continue;
        if (++looked_at > max_descriptors) {
            table.whole = false;
            break;
        }
        if (!identify(::dirfd(directory.get()), name, one)) continue;
        if (std::ranges::none_of(lent, [&](const broker::Lent& each) { return same(one, each); })) continue;
        one.link = link_at(::dirfd(directory.get()), name);
        table.entries.push_back(std::move(one));
    }
    return table;
}

const TableEntry* find(const Table& table, const broker::Lent& lent, std::vector<bool>& taken) {
    for (std::size_t i = 0; i < table.entries.size(); ++i) {
        if (!same(table.entries[i], lent) || taken[i]) continue;
        taken[i] = true;
        return &table.entries[i];
    }
    return nullptr;
}

control::FdReport report_of(const policy::Grant& grant, const broker::Lent& lent) {
    control::FdReport report;
    report.grant = grant.name;
    report.operation = lent.operation;
    report.target = grant_target(grant);
    report.since = lent.since;
    return report;
}

}  // namespace

std::string grant_target(const policy::Grant& grant) { return policy::subject_of(grant); }

std::vector<control::FdReport> worker_fds(const broker::Principal& principal) {
    std::vector<control::FdReport> reports;
    const auto table = table_of(principal.session->who.pid, principal.session->lent.entries());
    std::vector<bool> taken(table ? table->entries.size() : 0);
    for (const auto& lent : principal.session->lent.entries()) {
        const policy::Grant& grant = principal.settings.grants.at(lent.grant);
        control::FdReport report = report_of(grant, lent);
        if (table) {
            const TableEntry* entry = find(*table, lent, taken);
            if (entry == nullptr && table->whole) continue;   // closed again: no longer held
            report.open = entry != nullptr;
            if (entry != nullptr) report.number = entry->number;
            if (entry != nullptr && entry->link.starts_with('/')) report.target = entry->link;
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

}  // namespace warder::daemon
