// What it takes to run a program: the file itself, the interpreters that its first line or its ELF header names, and the
// symbolic links on the way. Read from the host when a sandbox is prepared, so that Landlock can grant execution to exactly
// these.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sandbox/elf.h"
#include "sandbox/plan.h"
#include "sys/fd.h"

namespace warder::sandbox {

// A symbolic link that is followed on the way to a file of the chain.
struct FollowedLink {
    std::string path;
    std::string text;
};

struct Chain {
    std::vector<std::string> files{};       // as seen in the sandbox: the program, then its interpreters, then the loader
    std::vector<FollowedLink> links{};
    std::vector<std::string> libraries{};  // of a minimal root: what the files of the chain name, and what those name
    std::vector<std::string> ends{};       // of files: ELF programs that name no loader, where exec ends
};

// Where `path` of the sandbox comes from on the host: through the bind that covers it, the first layer of an overlay that has it, or
// the same path.
std::string host_path(const std::string& path, const Plan& plan);

// Whether `path` is `directory` or lies below it, by whole components.
bool lies_below(const std::string& path, const std::string& directory);

// ---- Pieces for who looks for files of programs ----

// Asked before a file of the host is looked at. Where it says no, the file is left out as if it were not there. Empty: always yes.
using MayLook = std::function<bool(const std::string& path)>;

// The host's regular file at `path` of the sandbox, or none.
Fd open_regular(const std::string& path, const Plan& plan, const MayLook& may);

// Reads while `file` is open.
elf::Reader reader_of(const Fd& file);

// The links that stand in for the file itself (/usr/bin/java leads through /etc/alternatives), added to `links`; returns the file at
// their end. Those in its directories are the mount tree's.
std::string follow_links(std::string path, const Plan& plan, const MayLook& may, std::vector<FollowedLink>& links);

// ---- All of it ----

// A file that is absent or unreadable ends the chain without an error: exec will say what is wrong with it. For a script
// that begins with "#!/usr/bin/env NAME" the program of that name in the PATH of `environment` belongs to the chain.
Chain chain_of_program(const Plan& plan, const MayLook& may = {});

// The same, and those of each file that `execute` names: what it may run is to run too.
Chain chain_of(const Plan& plan, const MayLook& may = {});

}  // namespace warder::sandbox
