#include "sandbox/mount_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "sandbox/id_map.h"
#include "sys/files.h"
#include "sys/namespaces.h"
#include "sys/path_walk.h"
#include "sys/process.h"

namespace warder::sandbox {
namespace {

constexpr int build_timeout_ms = 5000;
// Where what belongs below /tmp waits for it; nobody but root may look in.
constexpr const char* aside = ".tmp";
// ... and the copies of programs that it may not read.
constexpr const char* copies_aside = ".programs";
// ... and the layers of overlays.
constexpr const char* layers_aside = ".overlays";
constexpr const char* could_not = "could not be made part of the sandbox";
constexpr const char* foreign_link =
    "is reached through a symlink that is not root's and leads to what is not its owner's: name the place, or chown -h root the symlink";
constexpr const char* link_in_bind = "lies behind a symlink in a tree that is bound: name the place that it leads to";
constexpr std::uint64_t max_copied = 256ULL << 20;

Failure refuse(Unfit& unfit, std::string item, std::string why, int error) {
    unfit = {std::move(item), std::move(why)};
    return failure(error, "laying out the mounts");
}

// ---- The layout: a value from the plan and a few looks at the host ----

class Layout {
public:
    Layout(const Plan& plan, const Facts& facts) : plan_(plan), facts_(facts) {}

    void add_system_directories();
    Result<void> add_devices(Unfit& unfit);
    void add_output_names();
    bool names_output() const;
    Result<void> add_memory_directories(Unfit& unfit);
    Result<void> refuse_hidden(Unfit& unfit) const;
    Result<void> add_overlays(Unfit& unfit);
    void add_identity_files();
    Result<void> add_binds(Unfit& unfit);
    Result<void> add_secret_files(Unfit& unfit);
    Result<void> add_files(Unfit& unfit);
    void add_program(const Chain& chain);
    void show_file(const std::string& file);
    bool is_only_a_link(const std::string& file) const;
    Result<void> make_unreadable(const Chain& chain, Unfit& unfit);
    MountTree take();

private:
    std::string in_sandbox(const std::string& path) const;
    bool attached(const std::string& relative) const;
    bool in_a_bind(const std::string& relative) const;
    bool hidden(const std::string& path) const;
    bool overlaid(const std::string& path) const;
    Seen look(const std::string& path) const;
    bool exists(const std::string& path) const { return look(path).found.exists; }
    bool is_directory(const std::string& path) const { return look(path).found.directory; }
    bool is_directory_there(const std::string& relative) const;
    bool shown(const std::string& path) const;
    void show_file_of_host(const std::string& path);
    void add_directory(const std::string& relative);
    void add_parents(const std::string& relative);
    void add_node(Node node);
    void add_place(const std::string& relative, bool directory);
    void attach(const std::string& source, const std::string& relative, mounts::Access access, mounts::Devices devices,
                bool no_execute = false);
    void attach_late(const std::string& source, const std::string& target, mounts::Access access, bool no_execute);
    void show(const std::string& source, const std::string& target, mounts::Access access, bool no_execute = false);
    Result<void> add_bind(const Bind& bind, Unfit& unfit);
    Result<void> refuse_absent_place(const Bind& bind, Unfit& unfit) const;
    const Attachment* tree_over(const std::string& relative) const;
    Result<void> add_overlay(const Overlay& one, Unfit& unfit);

    const Plan& plan_;
    const Facts& facts_;
    MountTree tree_;
    std::set<std::string> made_;
};

// Links that each sandbox has, and where they lead; relative to its "/".
struct OwnLink {
    std::string_view path, leads_to, text;
};
constexpr OwnLink own_links[] = {
    {"var/tmp", "tmp", "../tmp"},
    {"var/run", "run", "../run"},
    {"dev/shm", "tmp", "../tmp"},   // POSIX shared memory lives in the private /tmp
};

// Whether the plan shows something in the very place of the link.
bool replaced(const Plan& plan, const OwnLink& link) {
    const auto there = [&](const auto& one) { return one.target.size() == link.path.size() + 1 && one.target.ends_with(link.path); };
    return std::ranges::any_of(plan.binds, there) || std::ranges::any_of(plan.memory_directories, there) ||
           std::ranges::any_of(plan.overlays, there);
}

// "/lib/x" is "usr/lib/x" where /lib is a link: nothing is made below a link.
std::string Layout::in_sandbox(const std::string& path) const {
    std::string relative = past_own_links(plan_, path);
    for (const auto& node : tree_.nodes) {
        if (node.kind != Node::Kind::link || !lies_below(relative, node.path) || node.path.find('/') != std::string::npos) continue;
        return node.text + relative.substr(node.path.size());
    }
    return relative;
}

bool Layout::attached(const std::string& relative) const {
    return std::any_of(tree_.attachments.begin(), tree_.attachments.end(),
                       [&](const Attachment& one) { return lies_below(relative, one.target); });
}

bool Layout::in_a_bind(const std::string& relative) const {
    return std::ranges::any_of(plan_.binds, [&](const Bind& one) {
        const std::string target = in_sandbox(one.target);
        return relative != target && lies_below(relative, target);
    });
}

bool Layout::hidden(const std::string& path) const { return plan_.private_tmp && lies_below(past_own_links(plan_, path), "tmp"); }

bool Layout::overlaid(const std::string& path) const {
    return std::ranges::any_of(plan_.overlays, [&](const Overlay& one) { return lies_below(path, one.target); });
}

void Layout::add_node(Node node) {
    if (!made_.insert(node.path).second) return;
    add_parents(node.path);
    tree_.nodes.push_back(std::move(node));
}

void Layout::add_parents(const std::string& relative) {
    const auto slash = relative.rfind('/');
    if (slash != std::string::npos) add_directory(relative.substr(0, slash));
}

void Layout::add_directory(const std::string& relative) { add_node({Node::Kind::directory, relative, {}}); }

void Layout::add_place(const std::string& relative, bool directory) {
    add_node({directory ? Node::Kind::directory : Node::Kind::empty_file, relative, {}});
}

void Layout::attach(const std::string& source, const std::string& relative, mounts::Access access, mounts::Devices devices,
                    bool no_execute) {
    const auto symlinks = in_a_bind(relative) ? mounts::Symlinks::refused : mounts::Symlinks::followed;
    const bool at_path = symlinks == mounts::Symlinks::refused || !attached(relative);
    tree_.attachments.push_back({source, relative, access, devices, no_execute, symlinks, at_path});
    tree_.seen.push_back(look(source));
}

Seen Layout::look(const std::string& path) const {
    const auto known = facts_.find(path);
    return known == facts_.end() ? look_at(path) : known->second;
}

// "/tmp/a/b/c" needs "/tmp/a" and "/tmp/a/b".
std::vector<std::string> parents_below_tmp(const std::string& target) {
    std::vector<std::string> parents;
    for (auto slash = target.find('/', sizeof "/tmp/" - 1); slash != std::string::npos; slash = target.find('/', slash + 1)) {
        parents.push_back(target.substr(0, slash));
    }
    return parents;
}

void Layout::attach_late(const std::string& source, const std::string& target, mounts::Access access, bool no_execute) {
    const std::string kept = aside + ("/" + std::to_string(tree_.late.size()));
    add_place(kept, is_directory(source));
    attach(source, kept, access, mounts::Devices::hidden, no_execute);
    tree_.late.push_back({"/" + kept, target, is_directory(source), parents_below_tmp(target)});
}

// A tree of the host at a path of the sandbox, wherever that is.
void Layout::show(const std::string& source, const std::string& target, mounts::Access access, bool no_execute) {
    if (hidden(target)) return attach_late(source, "/" + past_own_links(plan_, target), access, no_execute);
    const std::string relative = in_sandbox(target);
    if (!attached(relative)) add_place(relative, is_directory(source));
    attach(source, relative, access, mounts::Devices::hidden, no_execute);
}

// /usr, and /bin, /lib and the like as the host has them: links into /usr, or directories of their own.
void Layout::add_system_directories() {
    for (const auto* name : {"bin", "sbin", "lib", "lib64", "lib32", "libx32"}) {
        const std::string path = std::string("/") + name;
        char text[256];
        const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
        if (size > 0) {
            const std::string target(text, static_cast<std::size_t>(size));
            add_node({Node::Kind::link, name, target.front() == '/' ? target.substr(1) : target});
        } else if (is_directory(path) && plan_.root == Root::system) {
            add_directory(name);
            attach(path, name, mounts::Access::read_only, mounts::Devices::hidden);
        }
    }
    add_directory("usr");
    if (plan_.root == Root::system) attach("/usr", "usr", mounts::Access::read_only, mounts::Devices::hidden);
    if (plan_.proc != ProcView::hidden) add_directory("proc");
    for (const auto* name : {"etc", "run", "tmp", "var"}) add_directory(name);
    for (const auto& link : own_links) {
        if (!replaced(plan_, link)) add_node({Node::Kind::link, std::string(link.path), std::string(link.text)});
    }
    if (!plan_.secret_files.empty()) add_directory(std::string(secrets_directory).substr(1));
    if (!plan_.ptys) return;
    add_directory("dev/pts");
    add_node({Node::Kind::link, "dev/ptmx", "pts/ptmx"});
}

// /dev/stdout and its like go by /proc to a descriptor of whoever follows them, which would be warderd's own.
bool leads_to_ours(const std::string& path) {
    const auto found = open_at(AT_FDCWD, path.c_str(), O_PATH, 0, RESOLVE_NO_MAGICLINKS);
    return !found && found.error().number == ELOOP;
}

// No /dev/fd and no /dev/stdin: they lead through /proc, which may not be there.
Result<void> Layout::add_devices(Unfit& unfit) {
    add_directory("dev");
    std::vector<std::string> names = plan_.devices;
    if (plan_.ptys && std::ranges::find(names, "tty") == names.end()) names.emplace_back("tty");   // whichever controls who opens it
    for (const auto& name : names) {
        const std::string path = "/dev/" + name;
        if (!exists(path)) return refuse(unfit, path, "is to be in the sandbox, but does not exist", ENOENT);
        if (leads_to_ours(path)) return refuse(unfit, path, "leads to what warderd itself has open, and is no device", ELOOP);
        if (is_directory(path)) {
            const bool terminals = name == "pts";
            return refuse(unfit, path, terminals ? "is a directory: ptys = true gives the worker terminals of its own"
                                                 : "is a directory: devices are named one by one, and a directory is bound", EISDIR);
        }
        add_place(path.substr(1), false);
        attach(path, path.substr(1), mounts::Access::read_only, mounts::Devices::usable);
    }
    return {};
}

// What a run writes to is another at each start, and attached by the child.
void Layout::add_output_names() {
    add_place(in_sandbox(output_name), false);
    add_node({Node::Kind::link, "dev/stderr", "stdout"});
}

// Whoever shows a /dev of his own has the names that are in it.
bool Layout::names_output() const {
    const auto covers = [](const MemoryDirectory& one) { return lies_below(output_name, one.target); };
    return !attached(in_sandbox(output_name)) && !overlaid(output_name) && std::ranges::none_of(plan_.memory_directories, covers);
}

Result<void> Layout::add_memory_directories(Unfit& unfit) {
    for (const auto& one : plan_.memory_directories) {
        const std::string target = in_sandbox(one.target);
        if (hidden(one.target)) return refuse(unfit, one.target, "lies in the private /tmp, which is in memory itself", EINVAL);
        if (attached(target)) return refuse(unfit, one.target, "lies in a directory of the host, where nothing is made", EINVAL);
        for (const auto& other : plan_.memory_directories) {
            if (&other == &one || !lies_below(target, in_sandbox(other.target))) continue;
            return refuse(unfit, one.target, "lies in the directory in memory at " + other.target, EINVAL);
        }
        add_directory(target);
    }
    return {};
}

// What is mounted at each start comes after what is laid out here, and over it.
Result<void> Layout::refuse_hidden(Unfit& unfit) const {
    std::vector<std::string> over{output_name, "/dev/stderr"};
    for (const auto& one : plan_.memory_directories) over.push_back(one.target);
    if (plan_.proc != ProcView::hidden) over.emplace_back("/proc");
    if (plan_.ptys) over.emplace_back("/dev/pts");
    if (!plan_.secret_files.empty()) over.emplace_back(secrets_directory);
    std::vector<std::string> shown;
    for (const auto& bind : plan_.binds) shown.push_back(bind.target);
    for (const auto& file : plan_.files) shown.push_back(file.target);
    for (const auto& one : plan_.overlays) shown.push_back(one.target);
    for (const auto& target : shown) {
        for (const auto& place : over) {
            if (lies_below(in_sandbox(target), in_sandbox(place))) return refuse(unfit, target, "would be hidden by the sandbox's own " + place, EINVAL);
        }
    }
    return {};
}

// The tree of the host that is on top at that place.
const Attachment* Layout::tree_over(const std::string& relative) const {
    const Attachment* found = nullptr;
    for (const auto& one : tree_.attachments) {
        const bool deeper = found == nullptr || one.target.size() >= found->target.size();
        if (lies_below(relative, one.target) && deeper) found = &one;
    }
    return found;
}

// Looked at on the host.
bool Layout::is_directory_there(const std::string& relative) const {
    const Attachment* found = tree_over(relative);
    return found != nullptr && is_directory(found->source + relative.substr(found->target.size()));
}

Result<void> Layout::add_overlay(const Overlay& one, Unfit& unfit) {
    const std::string target = in_sandbox(one.target);
    if (hidden(one.target)) return refuse(unfit, one.target, "lies in the private /tmp, which is new at each start itself", EINVAL);
    if (!attached(target)) add_directory(target);
    else if (!is_directory_there(target)) return refuse(unfit, one.target, "lies in a directory of the host, and is no directory there", ENOENT);
    const std::string kept = layers_aside + ("/" + std::to_string(tree_.layers.size()));
    Layers layers{.target = "/" + target, .lower = {}, .top = "/" + kept + "/top"};
    for (const auto& source : one.lower) {
        if (!is_directory(source)) return refuse(unfit, source, "is to be a layer of an overlay, but is no directory", ENOENT);
        const std::string layer = kept + "/" + std::to_string(layers.lower.size());
        add_directory(layer);
        attach(source, layer, mounts::Access::read_only, mounts::Devices::hidden);
        layers.lower.push_back("/" + layer);
    }
    add_directory(kept + "/top");
    tree_.layers.push_back(std::move(layers));
    return {};
}

// They are made last, so nothing else can be below one.
Result<void> Layout::add_overlays(Unfit& unfit) {
    std::vector<std::string> others;
    for (const auto& bind : plan_.binds) others.push_back(bind.target);
    for (const auto& file : plan_.files) others.push_back(file.target);
    for (const auto& one : plan_.memory_directories) others.push_back(one.target);
    for (const auto& one : plan_.overlays) {
        for (const auto& other : others) {
            if (lies_below(other, one.target)) return refuse(unfit, other, "would be hidden by the overlay at " + one.target, EINVAL);
        }
        const auto covers = [&](const Overlay& other) { return &other != &one && lies_below(one.target, other.target); };
        if (std::ranges::any_of(plan_.overlays, covers)) return refuse(unfit, one.target, "lies in another overlay", EINVAL);
        TRY(add_overlay(one, unfit));
    }
    return {};
}

// As the worker sees its own number.
std::uint32_t seen_inside(bool apart, const std::vector<IdRange>& map, std::uint32_t own) {
    return apart ? inside_of(resolved(map, own), own).value_or(own) : own;
}

void Layout::add_identity_files() {
    const uid_t own_uid = seen_inside(plan_.user_namespace, plan_.uid_map, plan_.uid);
    const gid_t own_gid = seen_inside(plan_.user_namespace, plan_.gid_map, plan_.gid);
    const std::string uid = std::to_string(own_uid);
    const std::string gid = std::to_string(own_gid);
    const std::string user = plan_.user.empty() ? "worker" : plan_.user;
    std::string passwd = "root:x:0:0:root:/:/usr/sbin/nologin\n";
    std::string group = "root:x:0:\n";
    const std::string rest = ":x:" + uid + ":" + gid + "::" + plan_.home + ":" + plan_.shell + "\n";
    if (own_uid != 0) passwd += user + rest;
    else passwd = "root:x:0:" + gid + ":root:" + plan_.home + ":" + plan_.shell + "\n";
    if (own_gid != 0) group += user + ":x:" + gid + ":\n";
    if (own_uid != 65534) passwd += "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
    if (own_gid != 65534) group += "nogroup:x:65534:\n";
    const std::string name = plan_.hostname.empty() ? user : plan_.hostname;
    add_node({Node::Kind::text_file, "etc/passwd", passwd});
    add_node({Node::Kind::text_file, "etc/group", group});
    const std::string hosts = plan_.names == Names::host ? "files dns" : "files";
    if (plan_.names == Names::host) {
        for (const auto* path : {"/etc/hosts", "/etc/resolv.conf"}) show_file_of_host(path);
    }
    add_node({Node::Kind::text_file, "etc/hosts", "127.0.0.1 localhost " + name + "\n::1 localhost\n"});
    add_node({Node::Kind::text_file, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: " + hosts + "\nservices: files\n"});
    show_file_of_host("/etc/ld.so.cache");
}

// Unless the plan shows something else there.
void Layout::show_file_of_host(const std::string& path) {
    if (!exists(path) || shown(path)) return;
    add_place(path.substr(1), false);
    attach(path, path.substr(1), mounts::Access::read_only, mounts::Devices::hidden);
}

// In a tree of the host nothing is made: what is to be shown there needs something of its kind in its place.
Result<void> Layout::refuse_absent_place(const Bind& bind, Unfit& unfit) const {
    const std::string relative = in_sandbox(bind.target);
    const Attachment* tree = tree_over(relative);
    if (hidden(bind.target) || tree == nullptr || tree->target == relative) return {};
    const std::string place = tree->source + relative.substr(tree->target.size());
    if (!exists(place)) {
        return refuse(unfit, bind.target, "is not there in " + tree->source + ", which is shown as it is: bind it where nothing of the host is, or make it", ENOENT);
    }
    if (is_directory(place) == is_directory(bind.source)) return {};
    return refuse(unfit, bind.target, "is a directory where " + bind.source + " is none, or the other way round", ENOTDIR);
}

Result<void> Layout::add_bind(const Bind& bind, Unfit& unfit) {
    if (hidden(bind.target) && past_own_links(plan_, bind.target) == "tmp") {
        return refuse(unfit, bind.target, "is the worker's own /tmp: bind it at another place", EINVAL);
    }
    if (!exists(bind.source)) return refuse(unfit, bind.source, "is to be shown in the sandbox, but does not exist", ENOENT);
    TRY(refuse_absent_place(bind, unfit));
    show(bind.source, bind.target, bind.writable ? mounts::Access::writable : mounts::Access::read_only, bind.no_execute);
    return {};
}

// Parents before what lies in them; of two at one place the later is on top.
Result<void> Layout::add_binds(Unfit& unfit) {
    std::vector<const Bind*> sorted;
    for (const auto& bind : plan_.binds) sorted.push_back(&bind);
    std::sort(sorted.begin(), sorted.end(),
              [](const Bind* a, const Bind* b) { return a->target != b->target ? a->target < b->target : a < b; });
    for (const auto* bind : sorted) TRY(add_bind(*bind, unfit));
    return {};
}

Result<void> Layout::add_files(Unfit& unfit) {
    for (const auto& file : plan_.files) {
        const std::string target = in_sandbox(file.target);
        if (hidden(file.target)) return refuse(unfit, file.target, "is hidden by the private /tmp; put it elsewhere", EINVAL);
        if (attached(target)) return refuse(unfit, file.target, "lies in a directory of the host, where nothing is made", EINVAL);
        add_node({Node::Kind::text_file, target, file.text});
    }
    return {};
}

bool Layout::shown(const std::string& path) const {
    const std::string relative = in_sandbox(path);
    const auto covers = [&](const LateAttachment& one) { return lies_below("/" + relative, one.target); };
    return overlaid(path) || attached(relative) || made_.contains(relative) || std::any_of(tree_.late.begin(), tree_.late.end(), covers);
}

void Layout::show_file(const std::string& file) {
    tree_.seen.push_back(look(host_path(file, plan_)));
    if (exists(file) && !shown(file)) show(file, file, mounts::Access::read_only);
}

// A program outside of /usr is shown alone, and so are its interpreters, its libraries and the links that lead to them.
void Layout::add_program(const Chain& chain) {
    for (const auto* files : {&chain.files, &chain.libraries}) {
        for (const auto& file : *files) show_file(file);
    }
    for (const auto& link : chain.links) {
        if (!shown(link.path) && !hidden(link.path)) add_node({Node::Kind::link, in_sandbox(link.path), link.text});
    }
}

// The file at its end has another name, and is copied by that. One that is shown at the link's place is a file there.
bool Layout::is_only_a_link(const std::string& file) const {
    struct stat status;
    const bool link = ::lstat(host_path(file, plan_).c_str(), &status) == 0 && S_ISLNK(status.st_mode);
    return link && !made_.contains(in_sandbox(file));
}

// The kernel goes by the last file that it loads at exec: the loader of a dynamic program, which is small, or a static one.
Result<void> Layout::make_unreadable(const Chain& chain, Unfit& unfit) {
    if (plan_.dumpable) return {};
    if (chain.ends.empty()) return refuse(unfit, plan_.program, "cannot be made undumpable: it leads to no ELF program", ENOENT);
    std::set<std::string> copied;
    for (const auto& file : chain.ends) {
        if (!copied.insert(file).second || is_only_a_link(file)) continue;
        const std::string source = host_path(file, plan_);
        struct stat status;
        if (::stat(source.c_str(), &status) != 0) return refuse(unfit, source, "cannot be copied", errno);
        const auto size = static_cast<std::uint64_t>(status.st_size);
        if (size > max_copied) return refuse(unfit, source, "is too large for a copy in memory, which dumpable = false takes", EFBIG);
        if (hidden(file)) return refuse(unfit, file, "lies below the private /tmp: put it elsewhere for dumpable = false", EINVAL);
        if (overlaid(file)) return refuse(unfit, file, "lies in an overlay: put it elsewhere for dumpable = false", EINVAL);
        const std::string copy = copies_aside + ("/" + std::to_string(tree_.unreadable.size()));
        add_node({Node::Kind::program_copy, copy, source});
        tree_.unreadable.push_back({copy, in_sandbox(file)});
        tree_.size += size + 4096;
    }
    return {};
}

// Each start reads them anew. That they changed is seen as of what is bound, so that no spare sandbox is waiting with what was there before.
Result<void> Layout::add_secret_files(Unfit& unfit) {
    for (const auto& one : plan_.secret_files) {
        if (!exists(one.source)) return refuse(unfit, one.source, "is to be a secret file of the sandbox, but does not exist", ENOENT);
        if (is_directory(one.source)) return refuse(unfit, one.source, "is to be a secret file of the sandbox, and is a directory", EISDIR);
        tree_.seen.push_back(look(one.source));
    }
    return {};
}

MountTree Layout::take() {
    tree_.names_output = names_output();
    return std::move(tree_);
}

// ---- The template: made by a child that never allocates ----

// What the child says when it is done, or where it failed.
struct Report {
    enum class Step : std::int32_t { done, prepare, find, copy, node, attach, program, pivot };
    Step step = Step::done;
    std::int32_t error = 0;
    std::uint32_t index = 0;
};

class Builder {
public:
    Builder(const MountTree& tree, int report, int* copies)
        : tree_(tree), size_(std::to_string(tree.size)), report_(report), copies_(copies) {}
    [[noreturn]] void run();

private:
    [[noreturn]] void stop(Report::Step step, int error, std::size_t index);
    void check(int outcome, Report::Step step, std::size_t index = 0) {
        if (outcome < 0) stop(step, -outcome, index);
    }
    int make(const Node& node) const;
    int attach(const std::string& target, int copy, mounts::Symlinks symlinks = mounts::Symlinks::followed) const;
    int attach_program(const UnreadableProgram& program) const;

    const MountTree& tree_;
    std::string size_;   // made by the parent
    int report_;
    int* copies_;   // room for one descriptor for each attachment, made before the fork
    int root_ = -1;
};

int from_call(long result) { return result < 0 ? -errno : static_cast<int>(result); }

void Builder::stop(Report::Step step, int error, std::size_t index) {
    const Report report{step, error, static_cast<std::uint32_t>(index)};
    [[maybe_unused]] const ssize_t size = ::write(report_, &report, sizeof report);
    // The parent takes the namespace from us, and then kills us.
    while (step == Report::Step::done) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
    for (;;) ::syscall(SYS_exit_group, 1);
}

int write_text(int root, const Node& node) {
    const int fd = ::openat(root, node.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0) return -errno;
    const ssize_t size = ::write(fd, node.text.data(), node.text.size());
    const int outcome = size == static_cast<ssize_t>(node.text.size()) ? 0 : -(size < 0 ? errno : ENOSPC);
    ::close(fd);
    return outcome;
}

// Without sendfile(2), which not every file system has.
int copy_bytes(int from, int to) {
    char buffer[16 * 1024];
    for (;;) {
        const ssize_t size = ::read(from, buffer, sizeof buffer);
        if (size <= 0) return size < 0 ? -errno : 0;
        const ssize_t written = ::write(to, buffer, static_cast<std::size_t>(size));
        if (written != size) return written < 0 ? -errno : -ENOSPC;
    }
}

int copy_program(int root, const Node& node) {
    const auto shown = open_to_show(node.text);
    if (!shown) return -shown.error().number;
    const Fd from(::open(own_path(shown->get()).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!from) return -errno;
    const int to = ::openat(root, node.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0111);
    const int outcome = to < 0 ? -errno : copy_bytes(from.get(), to);
    if (to >= 0) ::close(to);
    return outcome;
}

bool kept_aside(const std::string& path) { return path == aside || path == copies_aside || path == layers_aside; }

int Builder::make(const Node& node) const {
    switch (node.kind) {
        case Node::Kind::directory: return from_call(::mkdirat(root_, node.path.c_str(), kept_aside(node.path) ? 0700 : 0755));
        case Node::Kind::link: return from_call(::symlinkat(node.text.c_str(), root_, node.path.c_str()));
        case Node::Kind::empty_file:
        case Node::Kind::text_file: return write_text(root_, node);
        case Node::Kind::program_copy: return copy_program(root_, node);
    }
    return -EINVAL;
}

int Builder::attach(const std::string& path, int copy, mounts::Symlinks symlinks) const {
    const int target = mounts::open_inside(root_, path.c_str(), symlinks);
    if (target < 0) return target;
    const int outcome = mounts::attach(copy, target);
    ::close(target);
    return outcome;
}

// Once the root is mounted somewhere, at the current directory: a tree that is mounted nowhere has no copies.
int Builder::attach_program(const UnreadableProgram& program) const {
    const Fd made(::open(program.copy.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!made) return -errno;
    const int copy = mounts::copy_tree(made.get(), mounts::Access::read_only, mounts::Devices::hidden);
    if (copy < 0) return copy;
    const int outcome = attach(program.target, copy);
    ::close(copy);
    return outcome;
}

// The copies are taken before the new root hides a directory of the old one.
void Builder::run() {
    using Step = Report::Step;
    ::umask(0);
    // Without root the parent may take the namespace only of who may be looked at.
    if (::getuid() != 0) ::prctl(PR_SET_DUMPABLE, 1);
    check(from_call(::prctl(PR_SET_PDEATHSIG, SIGKILL)), Step::prepare);
    check(from_call(::unshare(CLONE_NEWNS)), Step::prepare);
    check(mounts::make_private(), Step::prepare);
    for (std::size_t i = 0; i < tree_.attachments.size(); ++i) {
        const auto& one = tree_.attachments[i];
        const auto source = open_to_show(one.source);
        if (!source) stop(Step::find, source.error().number, i);
        copies_[i] = mounts::copy_tree(source->get(), one.access, one.devices, one.no_execute);
        check(copies_[i], Step::copy, i);
    }
    root_ = mounts::make_tmpfs(size_.c_str(), "0755");
    check(root_, Step::prepare);
    for (std::size_t i = 0; i < tree_.nodes.size(); ++i) check(make(tree_.nodes[i]), Step::node, i);
    const int place = ::open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
    check(from_call(place), Step::pivot);
    check(mounts::attach(root_, place), Step::pivot);
    for (std::size_t i = 0; i < tree_.attachments.size(); ++i) {
        const auto& one = tree_.attachments[i];
        check(attach(one.target, copies_[i], one.on_the_way), Step::attach, i);
    }
    check(mounts::go_to_root_of_namespace(), Step::pivot);
    check(from_call(::fchdir(root_)), Step::pivot);
    for (std::size_t i = 0; i < tree_.unreadable.size(); ++i) check(attach_program(tree_.unreadable[i]), Step::program, i);
    check(mounts::make_read_only(root_), Step::pivot);
    check(mounts::become_root_of_namespace(), Step::pivot);
    stop(Step::done, 0, 0);
}

std::string place_of(const MountTree& tree, const Report& report) {
    switch (report.step) {
        case Report::Step::find:
        case Report::Step::copy: return tree.attachments[report.index].source;
        case Report::Step::attach: return "/" + tree.attachments[report.index].target;
        case Report::Step::program: return "/" + tree.unreadable[report.index].target;
        case Report::Step::node: return "/" + tree.nodes[report.index].path;
        case Report::Step::done:
        case Report::Step::prepare:
        case Report::Step::pivot: break;
    }
    return "the root of the sandbox";
}

// Kills the child and reaps it. One that hangs in the kernel is left behind: it has been told to die.
void end_builder(const Fd& pidfd) {
    [[maybe_unused]] const auto killed = send_signal(pidfd.get(), SIGKILL);
    if (!ended_within(pidfd.get(), build_timeout_ms)) return;
    [[maybe_unused]] const auto ended = reap(pidfd.get());
}

Result<Report> read_report(const Fd& pipe) {
    pollfd ready{pipe.get(), POLLIN, 0};
    if (::poll(&ready, 1, build_timeout_ms) != 1) return failure(ETIMEDOUT, "building the mounts");
    Report report;
    if (::read(pipe.get(), &report, sizeof report) != sizeof report) return failure(EIO, "building the mounts");
    return report;
}

Result<Fd> take_namespace(const MountTree& tree, const Fd& pipe, pid_t child, Unfit& unfit) {
    const Report report = TRY(read_report(pipe));
    if (report.step == Report::Step::done) return open_mount_namespace(child);
    const std::string where = place_of(tree, report);
    const bool foreign = report.step == Report::Step::find && report.error == EPERM;
    const bool crooked = report.step == Report::Step::attach && report.error == ELOOP;
    return refuse(unfit, where, foreign ? foreign_link : crooked ? link_in_bind : could_not, report.error);
}

Result<Fd> build(const MountTree& tree, Unfit& unfit) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    std::vector<int> copies(tree.attachments.size(), -1);
    Builder builder(tree, writing.get(), copies.data());
    const SignalsBlocked blocked;
    const Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) builder.run();
    writing.reset();
    auto name_space = take_namespace(tree, reading, child.pid, unfit);
    end_builder(child.pidfd);
    return name_space;
}

// All that makes one tree differ from another, as text.
std::string key_of(const MountTree& tree) {
    std::string key;
    const auto add = [&key](const std::string& text) { key += std::to_string(text.size()) + ":" + text; };
    for (const auto& node : tree.nodes) {
        add(std::to_string(static_cast<int>(node.kind)));
        add(node.path);
        add(node.text);
    }
    for (const auto& one : tree.attachments) {
        add(one.source);
        add(one.target);
        add(std::to_string(static_cast<int>(one.access)) + std::to_string(static_cast<int>(one.devices)) + (one.no_execute ? "x" : ""));
    }
    for (const auto& one : tree.unreadable) add(one.target);
    for (const auto& seen : tree.seen) {
        add(seen.path);
        add(std::to_string(seen.found.device) + "." + std::to_string(seen.found.inode) + "." + std::to_string(seen.found.changed));
    }
    return key;
}

}  // namespace

std::string past_own_links(const Plan& plan, const std::string& path) {
    const std::string relative = path.substr(1);
    for (const auto& link : own_links) {
        const std::string at(link.path);
        if (lies_below(relative, at) && !replaced(plan, link)) return std::string(link.leads_to) + relative.substr(at.size());
    }
    return relative;
}

Result<MountTree> lay_out(const Plan& plan, const Chain& chain, Unfit& unfit, const Facts& facts) {
    Layout layout(plan, facts);
    layout.add_system_directories();
    TRY(layout.add_devices(unfit));
    layout.add_output_names();
    TRY(layout.refuse_hidden(unfit));
    TRY(layout.add_binds(unfit));
    TRY(layout.add_files(unfit));
    TRY(layout.add_memory_directories(unfit));
    TRY(layout.add_overlays(unfit));
    layout.add_identity_files();
    layout.add_program(chain);
    TRY(layout.make_unreadable(chain, unfit));
    TRY(layout.add_secret_files(unfit));
    return layout.take();
}

Result<std::shared_ptr<const MountTemplate>> make_template(const MountTree& tree, Unfit& unfit) {
    static std::map<std::string, std::weak_ptr<const MountTemplate>> known;
    std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
    const std::string key = key_of(tree);
    if (const auto found = known.find(key); found != known.end()) return found->second.lock();
    auto made = std::make_shared<const MountTemplate>(TRY(build(tree, unfit)));
    known[key] = made;
    return made;
}

}  // namespace warder::sandbox
