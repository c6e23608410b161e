// The layout as a value; that it can be built is seen in spawn_test.
#include "sandbox/mount_tree.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace warder;
using namespace warder::sandbox;

namespace {

MountTree tree_for(const Plan& plan, const Chain& chain = {}) {
    Unfit unfit;
    auto tree = lay_out(plan, chain, unfit);
    if (!tree) FAIL(unfit.item << " " << unfit.why);
    return *tree;
}

const Node* node_at(const MountTree& tree, const std::string& path) {
    const auto found = std::find_if(tree.nodes.begin(), tree.nodes.end(), [&](const Node& node) { return node.path == path; });
    return found == tree.nodes.end() ? nullptr : &*found;
}

const Attachment* attachment_at(const MountTree& tree, const std::string& target) {
    const auto found = std::find_if(tree.attachments.begin(), tree.attachments.end(),
                                    [&](const Attachment& one) { return one.target == target; });
    return found == tree.attachments.end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE("everything is made after the directory that holds it, and once") {
    Plan plan;
    plan.files = {{"/opt/a/b/c", "text"}, {"/opt/a/d", "text"}};
    const MountTree tree = tree_for(plan);
    for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
        const std::string& path = tree.nodes[i].path;
        CAPTURE(path);
        const auto slash = path.rfind('/');
        const auto same = [&](const Node& node) { return node.path == path; };
        CHECK(std::count_if(tree.nodes.begin(), tree.nodes.end(), same) == 1);
        if (slash == std::string::npos) continue;
        const Node* parent = node_at(tree, path.substr(0, slash));
        REQUIRE(parent);
        CHECK(parent->kind == Node::Kind::directory);
        CHECK(parent < &tree.nodes[i]);
    }
}

TEST_CASE("/usr is read-only without devices, and only five devices are there") {
    const MountTree tree = tree_for(Plan{});
    const Attachment* usr = attachment_at(tree, "usr");
    REQUIRE(usr);
    CHECK(usr->access == mounts::Access::read_only);
    CHECK(usr->devices == mounts::Devices::hidden);
    const auto usable = [](const Attachment& one) { return one.devices == mounts::Devices::usable; };
    CHECK(std::count_if(tree.attachments.begin(), tree.attachments.end(), usable) == 5);
    for (const auto& one : tree.attachments) CHECK(one.access == mounts::Access::read_only);
    CHECK_FALSE(node_at(tree, "proc"));
    CHECK_FALSE(node_at(tree, "sys"));
}

TEST_CASE("passwd and group know root, the worker and nobody, each once") {
    Plan plan;
    plan.user = "web";
    plan.uid = 64001;
    plan.gid = 64002;
    const MountTree tree = tree_for(plan);
    const Node* passwd = node_at(tree, "etc/passwd");
    REQUIRE(passwd);
    CHECK(passwd->text.find("\nweb:x:64001:64002::/:/usr/sbin/nologin\n") != std::string::npos);
    CHECK(node_at(tree, "etc/group")->text.find("\nweb:x:64002:\n") != std::string::npos);
    const MountTree nobody = tree_for(Plan{});
    const std::string& text = node_at(nobody, "etc/passwd")->text;
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

TEST_CASE("a file of the plan stands instead of the generated one") {
    Plan plan;
    plan.files = {{"/etc/hosts", "10.0.0.1 db\n"}};
    CHECK(node_at(tree_for(plan), "etc/hosts")->text == "10.0.0.1 db\n");
}

TEST_CASE("a bind through a link of the root goes where the link leads") {
    if (!std::filesystem::is_symlink("/lib")) return;
    std::string name;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/lib")) {
        if (entry.is_directory() && !entry.is_symlink()) name = entry.path().filename();
    }
    REQUIRE_FALSE(name.empty());
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/lib/" + name}};
    CHECK(attachment_at(tree_for(plan), "usr/lib/" + name));
}

TEST_CASE("nothing is made inside a tree of the host") {
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/srv"}, {.source = "/usr/lib", .target = "/srv/doc", .writable = true}};
    const MountTree tree = tree_for(plan);
    CHECK(node_at(tree, "srv"));
    CHECK_FALSE(node_at(tree, "srv/doc"));
    CHECK(attachment_at(tree, "srv")->access == mounts::Access::read_only);
    CHECK(attachment_at(tree, "srv/doc")->access == mounts::Access::writable);
    CHECK(attachment_at(tree, "srv") < attachment_at(tree, "srv/doc"));
    plan.files = {{"/srv/file", "text"}};
    Unfit unfit;
    CHECK_FALSE(lay_out(plan, {}, unfit));
    CHECK(unfit.item == "/srv/file");
}

TEST_CASE("what belongs below a private /tmp waits aside") {
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/tmp/a/b"}};
    const MountTree tree = tree_for(plan);
    REQUIRE(tree.late.size() == 1);
    CHECK(tree.late[0].kept == "/.tmp/0");
    CHECK(tree.late[0].target == "/tmp/a/b");
    CHECK(tree.late[0].directory);
    CHECK(tree.late[0].parents == std::vector<std::string>{"/tmp/a"});
    plan.private_tmp = false;
    CHECK(tree_for(plan).late.empty());
    CHECK(attachment_at(tree_for(plan), "tmp/a/b"));
}

TEST_CASE("what is shown below or in the place of a link of the sandbox's own is where it was wanted") {
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/dev/shm/below"}, {.source = "/usr/share", .target = "/var/run/app"}};
    MountTree tree = tree_for(plan);
    REQUIRE(tree.late.size() == 1);
    CHECK(tree.late[0].target == "/tmp/below");
    REQUIRE(attachment_at(tree, "run/app"));
    CHECK(attachment_at(tree, "run/app")->at_path);
    for (const char* place : {"dev/shm", "var/tmp", "var/run"}) {
        plan.binds = {{.source = "/usr/share", .target = std::string("/") + place}};
        tree = tree_for(plan);
        REQUIRE(node_at(tree, place));
        CHECK(node_at(tree, place)->kind == Node::Kind::directory);
        CHECK(attachment_at(tree, place));
        CHECK(tree.late.empty());
    }
    plan.binds.clear();
    plan.memory_directories = {{.target = "/dev/shm", .size = 4096}};
    CHECK(node_at(tree_for(plan), "dev/shm")->kind == Node::Kind::directory);
}

TEST_CASE("a sandbox names what a run writes to, unless the plan shows a /dev of its own") {
    Plan plan;
    const MountTree tree = tree_for(plan);
    REQUIRE(node_at(tree, "dev/stdout"));
    CHECK(node_at(tree, "dev/stdout")->kind == Node::Kind::empty_file);
    REQUIRE(node_at(tree, "dev/stderr"));
    CHECK(node_at(tree, "dev/stderr")->text == "stdout");
    CHECK(tree.names_output);
    plan.binds = {{.source = "/dev", .target = "/dev"}};
    CHECK_FALSE(tree_for(plan).names_output);
    plan.binds.clear();
    plan.memory_directories = {{.target = "/dev", .size = 4096}};
    CHECK_FALSE(tree_for(plan).names_output);
}

TEST_CASE("what another mount of the sandbox would hide, and what a tree of the host has no place for, is refused") {
    const auto refused = [](const Plan& plan) {
        Unfit unfit;
        return lay_out(plan, {}, unfit) ? std::string() : unfit.item + ": " + unfit.why;
    };
    const auto bound_at = [](const std::string& target) {
        Plan plan;
        plan.binds = {{.source = "/usr/share", .target = target}};
        return plan;
    };
    Plan plan = bound_at("/run/app/inner");
    plan.memory_directories = {{.target = "/run/app", .size = 4096}};
    CHECK(refused(plan).starts_with("/run/app/inner: would be hidden by the sandbox's own /run/app"));
    plan = bound_at("/proc/inner");
    CHECK(refused(plan).empty());
    plan.proc = ProcView::processes;
    CHECK(refused(plan).starts_with("/proc/inner: would be hidden"));
    plan = bound_at("/dev/pts/x");
    plan.ptys = true;
    CHECK(refused(plan).starts_with("/dev/pts/x: would be hidden"));
    plan = bound_at("/run/secrets/x");
    plan.secret_files = {{"key", "/etc/passwd"}};
    CHECK(refused(plan).starts_with("/run/secrets/x: would be hidden"));
    plan = {};
    plan.memory_directories = {{.target = "/run/a", .size = 4096}, {.target = "/run/a/b", .size = 4096}};
    CHECK(refused(plan).starts_with("/run/a/b: lies in the directory in memory"));
    plan = {};
    plan.devices = {"pts"};
    CHECK(refused(plan).find("ptys = true") != std::string::npos);
    CHECK(refused(bound_at("/usr/lib/warder-there-is-no-such")).find("is not there in /usr") != std::string::npos);
    CHECK(refused(bound_at("/lib/warder-there-is-no-such")).find("is not there in /usr") != std::string::npos);
    CHECK(refused(bound_at("/usr/bin/env")).find("is a directory where") != std::string::npos);
    CHECK(refused(bound_at("/usr/share/doc")).empty());
    plan = {};
    plan.secret_files = {{"key", "/etc/warder-there-is-no-such"}};
    CHECK(refused(plan).find("does not exist") != std::string::npos);
}

TEST_CASE("the generated files say what the plan does of home, shell and names") {
    Plan plan;
    plan.user = "web";
    plan.uid = plan.gid = 64001;
    plan.home = "/srv/home";
    plan.shell = "/usr/bin/sh";
    plan.names = Names::host;
    plan.ptys = true;
    const MountTree tree = tree_for(plan);
    CHECK(node_at(tree, "etc/passwd")->text.find("\nweb:x:64001:64001::/srv/home:/usr/bin/sh\n") != std::string::npos);
    CHECK(node_at(tree, "etc/nsswitch.conf")->text.find("hosts: files dns\n") != std::string::npos);
    CHECK(attachment_at(tree, "etc/hosts"));
    CHECK(node_at(tree, "dev/ptmx")->text == "pts/ptmx");
    plan.files = {{"/etc/hosts", "192.0.2.1 db\n"}};
    CHECK(node_at(tree_for(plan), "etc/hosts")->text == "192.0.2.1 db\n");
}

TEST_CASE("what belongs below /var/tmp is put below /tmp, to which that is a link") {
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/var/tmp/a/b"}};
    const MountTree tree = tree_for(plan);
    REQUIRE(tree.late.size() == 1);
    CHECK(tree.late[0].target == "/tmp/a/b");
    plan.private_tmp = false;
    CHECK(attachment_at(tree_for(plan), "tmp/a/b"));
}

TEST_CASE("a program below a directory that is shown below /var/tmp is not shown twice") {
    char folder[] = "/var/tmp/warder-test-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    const std::string program = std::string(folder) + "/program";
    std::ofstream(program).close();
    Plan plan;
    plan.binds = {{.source = folder, .target = folder}};
    const MountTree tree = tree_for(plan, {.files = {program}});
    std::filesystem::remove_all(folder);
    CHECK(tree.late.size() == 1);
}

TEST_CASE("a bind on /tmp itself and a private /tmp contradict each other") {
    Plan plan;
    plan.binds = {{.source = "/usr/share", .target = "/tmp"}};
    Unfit unfit;
    CHECK_FALSE(lay_out(plan, {}, unfit));
    CHECK(unfit.item == "/tmp");
}

TEST_CASE("a program outside of /usr is shown alone, one inside is there already") {
    const MountTree inside = tree_for({}, {.files = {"/usr/bin/env"}});
    CHECK_FALSE(attachment_at(inside, "usr/bin/env"));
    const MountTree outside = tree_for({}, {.files = {"/etc/hostname"}});
    CHECK(attachment_at(outside, "etc/hostname"));
    const MountTree absent = tree_for({}, {.files = {"/no/such/program"}});
    CHECK_FALSE(attachment_at(absent, "no/such/program"));
    CHECK_FALSE(absent.seen.back().found.exists);
}

TEST_CASE("layers of an overlay are kept aside, read-only, and an overlay may lie over a directory of a tree that is shown") {
    Plan plan;
    plan.overlays = {{.target = "/srv/tree", .lower = {"/usr/share", "/usr/bin"}, .size = 4096},
                     {.target = "/usr/lib", .lower = {"/usr/share"}, .size = 4096}};
    const MountTree tree = tree_for(plan);
    REQUIRE(tree.layers.size() == 2);
    CHECK(tree.layers[0].target == "/srv/tree");
    CHECK(tree.layers[0].lower == std::vector<std::string>{"/.overlays/0/0", "/.overlays/0/1"});
    CHECK(tree.layers[0].top == "/.overlays/0/top");
    CHECK(tree.layers[1].target == "/usr/lib");
    for (const auto* kept : {".overlays/0/0", ".overlays/0/1", ".overlays/1/0"}) {
        CAPTURE(kept);
        const Attachment* layer = attachment_at(tree, kept);
        REQUIRE(layer);
        CHECK(layer->access == mounts::Access::read_only);
        CHECK(layer->devices == mounts::Devices::hidden);
    }
    CHECK(attachment_at(tree, ".overlays/0/0")->source == "/usr/share");
    CHECK(node_at(tree, "srv/tree") != nullptr);
    CHECK(node_at(tree, "usr/lib") == nullptr);
}

TEST_CASE("what an overlay cannot be is refused by its path") {
    const auto refused = [](const std::vector<Overlay>& overlays, const std::vector<Bind>& binds = {}) {
        Plan plan;
        plan.overlays = overlays;
        plan.binds = binds;
        Unfit unfit;
        const auto tree = lay_out(plan, {}, unfit);
        return tree ? "nothing" : unfit.item;
    };
    CHECK(refused({{.target = "/srv", .lower = {"/usr/share"}, .size = 4096}}) == "nothing");
    CHECK(refused({{.target = "/srv", .lower = {"/no/such/directory"}, .size = 4096}}) == "/no/such/directory");
    CHECK(refused({{.target = "/srv", .lower = {"/etc/passwd"}, .size = 4096}}) == "/etc/passwd");
    CHECK(refused({{.target = "/tmp/a", .lower = {"/usr/share"}, .size = 4096}}) == "/tmp/a");
    CHECK(refused({{.target = "/usr/no/such/place", .lower = {"/usr/share"}, .size = 4096}}) == "/usr/no/such/place");
    CHECK(refused({{.target = "/srv", .lower = {"/usr/share"}, .size = 4096}}, {{.source = "/etc", .target = "/srv/a"}}) == "/srv/a");
    CHECK(refused({{.target = "/srv", .lower = {"/usr/share"}, .size = 4096}, {.target = "/srv/a", .lower = {"/usr/bin"}, .size = 4096}}) == "/srv/a");
}
