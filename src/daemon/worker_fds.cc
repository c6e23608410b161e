#include "daemon/worker_fds.h"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <optional>

#include "policy/subject.h"
#include "sys/files.h"

namespace warder::daemon {
namespace {

struct TableEntry {
    int number = -1;
    std::uint64_t inode = 0;
    std::string link;
};

// "ino:" in fdinfo is there since 5.14.
std::uint64_t inode_in(const std::string& fdinfo) {
    const std::size_t at = fdinfo.find("ino:\t");
    std::uint64_t inode = 0;
    if (at != std::string::npos) std::from_chars(fdinfo.data() + at + 5, fdinfo.data() + fdinfo.size(), inode);
    return inode;
}

std::string link_of(const std::string& path) {
    char text[4096];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

// The table, or nothing where we may not look.
std::optional<std::vector<TableEntry>> table_of(pid_t pid) {
    const std::string process = "/proc/" + std::to_string(pid);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir((process + "/fd").c_str()), ::closedir);
    if (!directory) return std::nullopt;
    std::vector<TableEntry> table;
    while (const dirent* entry = ::readdir(directory.get())) {
        const std::string name = entry->d_name;
        TableEntry one;
        if (std::from_chars(name.data(), name.data() + name.size(), one.number).ec != std::errc{}) continue;
        const auto info = read_file(process + "/fdinfo/" + name, 4096);
        if (info) one.inode = inode_in(*info);
        one.link = link_of(process + "/fd/" + name);
        table.push_back(std::move(one));
    }
    return table;
}

const TableEntry* find(const std::vector<TableEntry>& table, const broker::Lent& lent, std::vector<bool>& taken) {
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (table[i].inode != lent.inode || taken[i]) continue;
        taken[i] = true;
        return &table[i];
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
    const auto table = table_of(principal.session->who.pid);
    std::vector<bool> taken(table ? table->size() : 0);
    for (const auto& lent : principal.session->lent.entries()) {
        const policy::Grant& grant = principal.settings.grants.at(lent.grant);
        control::FdReport report = report_of(grant, lent);
        if (table) {
            const TableEntry* entry = find(*table, lent, taken);
            if (entry == nullptr) continue;   // closed again: no longer held
            report.open = true;
            report.number = entry->number;
            if (entry->link.starts_with('/')) report.target = entry->link;
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

}  // namespace warder::daemon
