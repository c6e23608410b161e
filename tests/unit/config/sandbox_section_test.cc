#include <algorithm>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;
using testing::good;
using testing::worker;

sandbox::Plan sandbox(const std::string& keys) { return worker("[worker.web.sandbox]\n" + keys).sandbox; }
std::string sandbox_complaints(const std::string& keys) { return testing::worker_complaints("[worker.web.sandbox]\n" + keys); }

TEST_CASE("without a word the sandbox is strict") {
    const sandbox::Plan plan = worker("").sandbox;
    CHECK(plan.mount_namespace);
    CHECK(plan.pid_namespace);
    CHECK(plan.ipc_namespace);
    CHECK(plan.uts_namespace);
    CHECK_EQ(plan.network, sandbox::Network::none);
    CHECK_EQ(plan.root, sandbox::Root::system);
    CHECK(plan.landlock);
    CHECK(plan.calls.enabled);
    CHECK_FALSE(plan.calls.network);
    CHECK(plan.no_new_privileges);
    CHECK(plan.binds.empty());
    CHECK(plan.private_tmp);
    const sandbox::Plan strict = sandbox("profile = \"strict\"\n");
    CHECK_EQ(strict.network, plan.network);
}

TEST_CASE("service is strict with the host's network") {
    const sandbox::Plan plan = sandbox("profile = \"service\"\n");
    CHECK_EQ(plan.network, sandbox::Network::host);
    CHECK(plan.calls.network);
    CHECK(plan.mount_namespace);
    CHECK(plan.pid_namespace);
    CHECK(plan.landlock);
    CHECK(plan.calls.enabled);
}

TEST_CASE("open leaves the host as it is, but gives no privilege") {
    const sandbox::Plan plan = sandbox("profile = \"unconfined\"\n");
    CHECK_EQ(plan.root, sandbox::Root::host);
    CHECK_EQ(plan.network, sandbox::Network::host);
    CHECK_FALSE(plan.mount_namespace);
    CHECK_FALSE(plan.private_tmp);
    CHECK_FALSE(plan.pid_namespace);
    CHECK_FALSE(plan.ipc_namespace);
    CHECK_FALSE(plan.uts_namespace);
    CHECK_FALSE(plan.landlock);
    CHECK_FALSE(plan.calls.enabled);
    CHECK(plan.no_new_privileges);
}

TEST_CASE("single keys differ from the profile, wherever the profile stands") {
    CHECK_EQ(sandbox("network = \"none\"\nprofile = \"service\"\n").network, sandbox::Network::none);
    CHECK_FALSE(sandbox("network = \"none\"\nprofile = \"service\"\n").calls.network);
    CHECK_EQ(sandbox("network = \"host\"\n").network, sandbox::Network::host);
    CHECK(sandbox("profile = \"unconfined\"\nroot = \"system\"\n").mount_namespace);
}

TEST_CASE("binds are read-only unless they are said to be writable") {
    const sandbox::Plan plan = sandbox("bind_read_only = [\"/opt/a\", { source = \"/opt/b\", target = \"/opt/c\" }]\n"
                                    "bind_writable = [\"/var/cache/a\"]\nexec_paths = [\"/opt/a\", \"/usr/bin/env\"]\n");
    REQUIRE_EQ(plan.binds.size(), 4);
    CHECK_EQ(plan.binds[0].source, "/opt/a");
    CHECK_EQ(plan.binds[0].target, "/opt/a");
    CHECK_FALSE(plan.binds[0].writable);
    CHECK(plan.binds[0].execute);
    CHECK_EQ(plan.binds[1].source, "/opt/b");
    CHECK_EQ(plan.binds[1].target, "/opt/c");
    CHECK_FALSE(plan.binds[1].execute);
    CHECK(plan.binds[2].writable);
    CHECK_FALSE(plan.binds[2].execute);
    CHECK_EQ(plan.binds[3].target, "/usr/bin/env");
    CHECK(plan.binds[3].execute);
}

TEST_CASE("a program outside of the system's directories is shown in its sandbox") {
    const auto shown = [](const std::string& keys) {
        return good("[worker.web]\nexec = \"/opt/app/bin/web\"\n" + keys).workers.at(0).sandbox.binds;
    };
    const auto alone = shown("");
    REQUIRE_EQ(alone.size(), 1);
    CHECK_EQ(alone[0].source, "/opt/app/bin/web");
    CHECK_EQ(alone[0].target, "/opt/app/bin/web");
    CHECK(alone[0].execute);
    CHECK_FALSE(alone[0].writable);
    CHECK_EQ(shown("[worker.web.sandbox]\nbind_read_only = [\"/opt/app\"]\n").size(), 1);
    CHECK_EQ(shown("[worker.web.sandbox]\nbind_read_only = [\"/opt/ap\"]\n").size(), 2);
    CHECK(shown("[worker.web.sandbox]\nprofile = \"unconfined\"\n").empty());
}

TEST_CASE("the rest of the keys are read") {
    const sandbox::Plan plan = sandbox("tmp_size = \"8MiB\"\nhostname = \"a-1.b\"\nallow_calls = [\"kcmp\"]\ndeny_calls = [\"ptrace\"]\n");
    CHECK_EQ(plan.tmp_size, 8U << 20);
    CHECK_EQ(plan.hostname, "a-1.b");
    CHECK_EQ(plan.calls.allow, std::vector<std::string>{"kcmp"});
    REQUIRE_EQ(plan.calls.deny.size(), 1);
    CHECK_EQ(plan.calls.deny[0].name, "ptrace");
    CHECK_EQ(plan.calls.deny[0].error, EPERM);
}

TEST_CASE("a network is empty, the host's, or one that somebody else made") {
    const sandbox::Plan plan = sandbox("network = \"/run/netns/blue\"\n");
    CHECK_EQ(plan.network, sandbox::Network::named);
    CHECK_EQ(plan.network_path, "/run/netns/blue");
    CHECK(plan.calls.network);
    CHECK_NE(sandbox_complaints("network = \"nne\"\n").find("did you mean \"none\"?"), std::string::npos);
}

TEST_CASE("what is in the sandbox beside binds: texts, memory, devices, processes") {
    const sandbox::Plan plan = sandbox("files = { \"/etc/motd\" = \"hi\" }\n"
                                    "tmpfs = [{ target = \"/run/a\", size = \"1MiB\", mode = \"0750\" }]\n"
                                    "devices = [\"null\", \"tty\"]\nproc = \"processes\"\nroot = \"minimal\"\nbind_read_only = [\"/usr/lib/a.so\"]\n");
    REQUIRE_EQ(plan.files.size(), 1);
    CHECK_EQ(plan.files[0].target, "/etc/motd");
    CHECK_EQ(plan.files[0].text, "hi");
    REQUIRE_EQ(plan.memory_directories.size(), 1);
    CHECK_EQ(plan.memory_directories[0].size, 1U << 20);
    CHECK_EQ(plan.memory_directories[0].mode, 0750);
    CHECK(plan.memory_directories[0].no_execute);
    CHECK_EQ(plan.devices, std::vector<std::string>{"null", "tty"});
    CHECK_EQ(plan.proc, sandbox::ProcView::processes);
    CHECK_EQ(plan.root, sandbox::Root::minimal);
    CHECK_EQ(plan.binds.at(0).target, "/usr/lib/a.so");
    for (const char* keys : {"files = { motd = \"\" }\n", "tmpfs = [{ target = \"/run/a\" }]\n",
                             "tmpfs = [{ target = \"/tmp/a\", size = \"1MiB\" }]\n", "devices = [\"../sda\"]\n",
                             "profile = \"unconfined\"\nproc = \"processes\"\n"}) {
        CAPTURE(keys);
        CHECK_NE(sandbox_complaints(keys), "");
    }
}

TEST_CASE("an overlay has a place, layers and a size, and each mistake in one is told at its place") {
    const sandbox::Plan plan = sandbox("overlays = [{ target = \"/srv/tree\", lower = [\"/opt/a:b\", \"/opt/b\"], size = \"16MiB\", mode = \"0750\" },\n"
                                    " { target = \"/opt/app\", lower = [\"/opt/app\"], size = \"1MiB\", noexec = false }]\n");
    REQUIRE_EQ(plan.overlays.size(), 2);
    CHECK_EQ(plan.overlays[0].target, "/srv/tree");
    CHECK_EQ(plan.overlays[0].lower, std::vector<std::string>{"/opt/a:b", "/opt/b"});
    CHECK_EQ(plan.overlays[0].size, 16U << 20);
    CHECK_EQ(plan.overlays[0].mode, 0750);
    CHECK(plan.overlays[0].no_execute);
    CHECK_EQ(plan.overlays[1].mode, 0755);
    CHECK_FALSE(plan.overlays[1].no_execute);

    const auto one = [](const std::string& keys) { return sandbox_complaints("overlays = [{ " + keys + " }]\n"); };
    const auto says = [](const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; };
    CHECK(says(one("target = \"/a\", lower = [\"/b\"]"), "w.toml:4:13"));
    CHECK(says(one("target = \"/a\", lower = [\"/b\"]"), "\"size\" is not there"));
    CHECK(says(one("target = \"/a\", lower = [\"/b\"], size = \"1MiB\", lowr = [\"/b\"]"), "did you mean \"lower\"?"));
    CHECK(says(one("target = \"/a\", lower = [\"b\"], size = \"1MiB\""), "w.toml:4:39"));
    CHECK(says(one("target = \"/a\", lower = [], size = \"1MiB\""), "from 1 to 64 layers"));
    CHECK(says(one("target = \"/a\", lower = [\"/b\", \"/b/c\"], size = \"1MiB\""), "\"/b/c\" is part of \"/b\""));
    CHECK(says(one("target = \"/a\", lower = [\"/b\", \"/b\"], size = \"1MiB\""), "layers of one overlay cannot overlap"));
    CHECK(says(one("target = \"/tmp/a\", lower = [\"/b\"], size = \"1MiB\""), "\"/tmp/a\" in the sandbox is the sandbox's own"));
    CHECK(says(one("target = \"/\", lower = [\"/b\"], size = \"1MiB\""), "w.toml:4:24"));
    CHECK(says(one("target = \"/a\", lower = [\"/b\"], size = \"1\""), "size"));
    CHECK(says(one("target = \"/usr/bin\", lower = [\"/b\"], size = \"1MiB\""), "add noexec = false"));
    CHECK(says(one("target = \"/a\", lower = [\"/b\"], size = \"1MiB\" }, { target = \"/a/c\", lower = [\"/b\"], size = \"1MiB\""), "lie one in the other"));
    CHECK(says(sandbox_complaints("bind_read_only = [\"/a/b\"]\noverlays = [{ target = \"/a\", lower = [\"/c\"], size = \"1MiB\" }]\n"),
               "\"/a/b\" would be hidden by the overlay at \"/a\""));
    CHECK(says(sandbox_complaints("profile = \"unconfined\"\noverlays = [{ target = \"/a\", lower = [\"/c\"], size = \"1MiB\" }]\n"), "needs root = \"system\""));
    CHECK(says(sandbox_complaints("overlays = [\"/a\"]\n"), "w.toml:4:13"));
}

TEST_CASE("a program in an overlay is not bound beside it") {
    const sandbox::Plan plan =
        good("[worker.web]\nexec = \"/opt/app/web\"\n[worker.web.sandbox]\noverlays = [{ target = \"/opt/app\", lower = [\"/opt/app\"], size = \"1MiB\", noexec = false }]\n")
            .workers.at(0)
            .sandbox;
    CHECK(plan.binds.empty());
}

TEST_CASE("a user namespace is none, one of the usual two, or has maps of its own") {
    using sandbox::IdRange;
    using sandbox::own_id;
    CHECK_FALSE(sandbox("").user_namespace);
    CHECK_FALSE(sandbox("user_namespace = \"none\"\n").user_namespace);
    const sandbox::Plan self = sandbox("user_namespace = \"self\"\n");
    CHECK(self.user_namespace);
    CHECK(self.uid_map == std::vector<IdRange>{{own_id, own_id, 1}});
    CHECK(self.gid_map == self.uid_map);
    CHECK(sandbox("user_namespace = \"root\"\n").uid_map == std::vector<IdRange>{{0, own_id, 1}});
    const sandbox::Plan maps = sandbox("user_namespace = { uid_map = [\"0:self:1\", \"1:100000:65536\"], gid_map = [\"self:self:1\"] }\n");
    CHECK(maps.uid_map == std::vector<IdRange>{{0, own_id, 1}, {1, 100000, 65536}});
    CHECK(maps.gid_map == std::vector<IdRange>{{own_id, own_id, 1}});
}

TEST_CASE("each mistake in a user namespace is told at its place") {
    const auto says = [](const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; };
    const auto with_map = [](const std::string& ranges) {
        return sandbox_complaints("user_namespace = { uid_map = [" + ranges + "], gid_map = [\"0:self:1\"] }\n");
    };
    CHECK(says(sandbox_complaints("user_namespace = \"slef\"\n"), "w.toml:4:18"));
    CHECK(says(sandbox_complaints("user_namespace = \"slef\"\n"), "did you mean \"self\"?"));
    CHECK(says(sandbox_complaints("user_namespace = true\n"), "must be a string or a table"));
    CHECK(says(sandbox_complaints("user_namespace = { uid_map = [\"0:self:1\"] }\n"), "has a \"uid_map\" and a \"gid_map\""));
    CHECK(says(sandbox_complaints("user_namespace = { uid_map = [\"0:self:1\"], gid_map = [\"0:self:1\"], uidmap = [] }\n"), "did you mean \"uid_map\"?"));
    for (const char* bad : {"\"0:1\"", "\"0:1:2:3\"", "\"a:1:1\"", "\"0:1:0\"", "\"0:self:2\"", "\"4294967295:1:1\"", "\"4294967294:1000:2\"", "\"-1:1:1\"", "\"::\"", "\"\""}) {
        CAPTURE(bad);
        CHECK(says(with_map(bad), "w.toml:4:31"));
        CHECK(says(with_map(bad), "is no range of numbers"));
    }
    CHECK(says(with_map("7"), "must be a string"));
    CHECK(says(with_map(""), "from 1 to 340 ranges"));
    CHECK(says(with_map("\"0:self:1\", \"1:0:1\""), "the host's root"));
    CHECK(says(with_map("\"0:self:1\", \"1:69999:2\""), "which are other workers'"));
    CHECK_EQ(with_map("\"0:self:1\", \"1:65000:2\""), "");
    CHECK(says(with_map("\"0:self:1\", \"0:100000:1\""), "overlaps another range"));
    CHECK(says(with_map("\"0:100000:10\", \"10:100009:1\""), "overlaps another range"));
    CHECK(says(with_map("\"0:self:1\", \"1:self:1\""), "overlaps another range"));
}

TEST_CASE("directories of its own lie where their kind does, and are named to the program") {
    const sandbox::Plan plan = sandbox("managed_directories = [\"state\", \"cache\", \"logs\", \"runtime\"]\n");
    REQUIRE_EQ(plan.own_directories.size(), 4);
    CHECK_EQ(plan.own_directories[0].path, "/var/lib/warder/state/web");
    CHECK_EQ(plan.own_directories[0].variable, "STATE_DIRECTORY");
    CHECK_EQ(plan.own_directories[1].path, "/var/cache/warder/private/web");
    CHECK_EQ(plan.own_directories[2].path, "/var/lib/warder/logs/web");
    CHECK_EQ(plan.own_directories[3].path, "/run/warder/worker/web");
    CHECK_NE(sandbox_complaints("managed_directories = [\"stat\"]\n").find("did you mean \"state\"?"), std::string::npos);
    CHECK_NE(sandbox_complaints("managed_directories = [\"state\", \"state\"]\n").find("twice"), std::string::npos);
}

TEST_CASE("T47: a directory that others may enter lies beside the private ones, and what was kept moves along") {
    const auto one = [](const std::string& table) { return sandbox("managed_directories = [" + table + "]\n").own_directories.at(0); };
    const auto runtime = one("{ kind = \"runtime\", mode = \"0750\", group = \"www-data\" }");
    CHECK_EQ(runtime.path, "/run/warder/public/web");
    CHECK_EQ(runtime.mode, 0750);
    CHECK_EQ(runtime.group, "www-data");
    CHECK(runtime.entered);
    const auto state = one("{ kind = \"state\", mode = \"0711\" }");
    CHECK_EQ(state.path, "/var/lib/warder/public/state/web");
    CHECK_EQ(state.former.at(0), "/var/lib/warder/state/web");
    CHECK_FALSE(one("{ kind = \"state\" }").entered);
    CHECK_EQ(one("\"cache\"").former.at(1), "/var/cache/warder/web");
    CHECK_EQ(sandbox("profile = \"unconfined\"\nmanaged_directories = [\"logs\"]\n").own_directories.at(0).path, "/var/lib/warder/public/logs/web");
    const auto says = [](const std::string& table, const char* what) {
        return sandbox_complaints("managed_directories = [" + table + "]\n").find(what) != std::string::npos;
    };
    CHECK(says("{ mode = \"0750\" }", "has a \"kind\""));
    CHECK(says("{ kind = \"rumtime\" }", "did you mean \"runtime\"?"));
    CHECK(says("{ kind = \"runtime\", mode = \"0450\" }", "leaves its worker everything"));
    CHECK(says("{ kind = \"runtime\", mode = \"0777\" }", "never for everybody to write to"));
    CHECK(says("{ kind = \"runtime\", group = \"web\" }", "has no effect here"));
    CHECK(says("{ kind = \"runtime\", mode = \"4750\" }", "is not octal"));
    CHECK(says("{ kind = \"runtime\", moed = \"0750\" }", "did you mean \"mode\"?"));
    CHECK(says("7", "a word or"));
}

TEST_CASE("secret files, names, terminals, home and shell are read, and refused where they would do nothing") {
    const sandbox::Plan plan = sandbox("network = \"host\"\nnames = \"host\"\nptys = true\nhome = \"/srv/home\"\nshell = \"/usr/bin/sh\"\n"
                                    "secret_files = { \"tls.key\" = \"/etc/key\" }\n");
    CHECK(plan.names == sandbox::Names::host);
    CHECK(plan.ptys);
    CHECK_EQ(plan.home, "/srv/home");
    CHECK_EQ(plan.shell, "/usr/bin/sh");
    REQUIRE_EQ(plan.secret_files.size(), 1);
    CHECK_EQ(plan.secret_files[0].name, "tls.key");
    CHECK_EQ(plan.secret_files[0].source, "/etc/key");
    const auto says = [](const std::string& keys, const char* what) { return sandbox_complaints(keys).find(what) != std::string::npos; };
    CHECK(says("names = \"host\"\n", "name servers are asked over a network"));
    CHECK(says("names = \"hosts\"\n", "did you mean \"host\"?"));
    CHECK(says("secret_files = { \"a/b\" = \"/etc/key\" }\n", "is no name of a file"));
    CHECK(says("secret_files = { \"..\" = \"/etc/key\" }\n", "is no name of a file"));
    CHECK(says("secret_files = { a = \"etc/key\" }\n", "absolute"));
    CHECK(says("home = \"/srv:home\"\n", "cannot stand in a passwd file"));
    for (const char* key : {"secret_files = { a = \"/etc/key\" }", "ptys = true", "home = \"/srv\"", "shell = \"/usr/bin/sh\"", "names = \"host\""}) {
        CHECK(says("profile = \"unconfined\"\n" + std::string(key) + "\n", "has no effect here"));
    }
}

TEST_CASE("T47: what could set a set-id bit unseen is not allowed beside the key that refuses it") {
    CHECK(sandbox("").calls.restrict_suid_sgid);
    CHECK_NE(sandbox_complaints("allow_calls = [\"openat2\"]\n").find("restrict_suid_sgid = false"), std::string::npos);
    CHECK_EQ(sandbox_complaints("allow_calls = [\"openat2\"]\nrestrict_suid_sgid = false\n"), "");
    CHECK_NE(sandbox_complaints("profile = \"unconfined\"\nrestrict_suid_sgid = true\n").find("has no effect here"), std::string::npos);
}

TEST_CASE("clocks, ports and scopes are read") {
    const sandbox::Plan plan = sandbox("time_offsets = { boottime = \"1d\" }\nnetwork = \"host\"\ntcp_bind = []\ntcp_connect = [443]\n"
                                    "scope_signals = false\n");
    CHECK(plan.time_namespace);
    CHECK_EQ(plan.boottime_offset, 86400);
    CHECK(plan.tcp_bind.restricted);
    CHECK(plan.tcp_bind.allowed.empty());
    CHECK_EQ(plan.tcp_connect.allowed, std::vector<std::uint16_t>{443});
    CHECK_FALSE(plan.scope_signals);
    CHECK(plan.scope_abstract_sockets);
    CHECK_NE(sandbox_complaints("network = \"host\"\ntcp_bind = [70000]\n"), "");
    CHECK_NE(sandbox_complaints("tcp_bind = [80]\n").find("has no effect here"), std::string::npos);
}

TEST_CASE("preferred items are those that depend on the kernel") {
    const std::vector<std::string> both{"landlock", "memory_deny_write_execute"};
    CHECK_EQ(sandbox("optional_features = [\"landlock\"]\n").preferred, both);   // what profile strict has where the kernel does
    CHECK(sandbox("memory_deny_write_execute = true\n").preferred.empty());
    CHECK(sandbox("profile = \"service\"\n").preferred.empty());
    CHECK_NE(sandbox_complaints("optional_features = [\"landlok\"]\n").find("did you mean \"landlock\"?"), std::string::npos);
    CHECK_EQ(good("[daemon]\nrequired_features = [\"landlock\", \"seccomp\"]\n").daemon.require.size(), 2);
    CHECK_NE(complaints("[daemon]\nrequired_features = [\"secomp\"]\n").find("did you mean \"seccomp\"?"), std::string::npos);
}

TEST_CASE("lent sockets narrow the filter") {
    const auto calls = [](const std::string& grants) { return worker("[worker.web.grants]\n" + grants).sandbox.calls; };
    CHECK_FALSE(calls("a = { read = \"/a\" }\n").inet_sockets_lent);
    CHECK(calls("a = { listen = \"tcp:*:80\" }\n").inet_sockets_lent);
    CHECK_FALSE(calls("a = { listen = \"tcp:*:80\" }\n").datagram_sockets_lent);
    CHECK(calls("a = { connect = \"udp:*:53\" }\n").datagram_sockets_lent);
    CHECK(calls("a = { connect = \"unix-dgram:/dev/log\" }\n").datagram_sockets_lent);
    CHECK_FALSE(calls("a = { connect = \"unix:/run/a\" }\n").inet_sockets_lent);
}

TEST_CASE("the host's root goes with profile open only") {
    CHECK_EQ(sandbox_complaints("root = \"host\"\n"),
             "w.toml:4:8: error: root = \"host\" goes with profile = \"unconfined\" only\n"
             "    4 | root = \"host\"\n"
             "      |        ^~~~~~\n");
}

TEST_CASE("a key that would do nothing is an error") {
    CHECK_EQ(sandbox_complaints("profile = \"unconfined\"\nbind_read_only = [\"/opt/a\"]\ndeny_calls = [\"ptrace\"]\nhostname = \"a\"\n"),
             "w.toml:5:1: error: \"bind_read_only\" has no effect here: it needs root = \"system\"\n"
             "    5 | bind_read_only = [\"/opt/a\"]\n"
             "      | ^~~~~~~~~~~~~~\n"
             "w.toml:6:1: error: \"deny_calls\" has no effect here: it needs another profile than \"unconfined\"\n"
             "    6 | deny_calls = [\"ptrace\"]\n"
             "      | ^~~~~~~~~~\n"
             "w.toml:7:1: error: \"hostname\" has no effect here: it needs another profile than \"unconfined\"\n"
             "    7 | hostname = \"a\"\n"
             "      | ^~~~~~~~\n");
}

TEST_CASE("a pair of paths with a colon is an error that shows the table, and a name with a colon is none") {
    const auto says = [](const std::string& keys, const std::string& part) {
        CAPTURE(keys);
        CHECK_NE(sandbox_complaints(keys).find(part), std::string::npos);
    };
    CHECK_EQ(sandbox_complaints("bind_read_only = [\"/a:/b:ro\"]\n"),
             "w.toml:4:19: error: \"/a:/b:ro\" is one path with a colon in it: \"bind_read_only\" takes paths, and tables where source and target differ\n"
             "    4 | bind_read_only = [\"/a:/b:ro\"]\n"
             "      |                   ^~~~~~~~~~ write bind_read_only = [{ source = \"/a\", target = \"/b\" }]\n");
    says("bind_read_only = [\"/a:/b\"]\n", "write bind_read_only = [{ source = \"/a\", target = \"/b\" }] (read-only; bind_writable is not)");
    says("bind_read_only = [\"/a:/b:rw,z\"]\n", "write bind_writable = [{ source = \"/a\", target = \"/b\" }]");
    says("bind_writable = [\"/a:/b:ro\"]\n", "write bind_read_only = [{");
    says("bind_writable = [\"/a:rw\"]\n", "write bind_writable = [\"/a\"]");
    says("bind_read_only = [\"/a:/b:noexec\"]\n", "noexec = true }]");
    says("exec_paths = [\"/a:/b\"]\n", "and exec_paths = [\"/b\"]");
    CHECK_EQ(sandbox("bind_read_only = [\"/sys2/0000:00:1f\", { source = \"/a:/b\", target = \"/c:ro\" }]\n").binds.size(), 2);
}

TEST_CASE("what was written does not run in strict: no file below /tmp, a directory of its own or a writable bind is code") {
    const sandbox::Plan plan = sandbox("bind_writable = [\"/srv/a\", { source = \"/srv/b\", noexec = false }, \"/opt/x\"]\nexec_paths = [\"/opt/x/run\"]\n"
                                    "managed_directories = [\"state\"]\nbind_read_only = [\"/srv/c\"]\n");
    const auto noexec = [&plan](const char* target) { return std::ranges::find(plan.binds, target, &sandbox::Bind::target)->no_execute; };
    CHECK(plan.tmp_no_execute);
    CHECK(noexec("/srv/a"));
    CHECK_FALSE(noexec("/srv/b"));   // said so
    CHECK_FALSE(noexec("/opt/x"));   // a program of execute lies in it
    CHECK_FALSE(noexec("/srv/c"));
    CHECK(plan.own_directories.at(0).no_execute);
    CHECK(plan.calls.no_code_in_shared_memory);
    const sandbox::Plan compiles = sandbox("memory_deny_write_execute = false\nbind_writable = [\"/srv/a\"]\nmanaged_directories = [\"state\"]\n");
    CHECK_FALSE(compiles.tmp_no_execute);
    CHECK_FALSE(compiles.binds.at(0).no_execute);
    CHECK_FALSE(compiles.own_directories.at(0).no_execute);
    CHECK_FALSE(sandbox("profile = \"service\"\n").tmp_no_execute);
}

TEST_CASE("calls that the kernel refuses whatever the filter says are told") {
    CHECK_NE(sandbox_complaints("allow_calls = [\"setgroups\"]\n").find("refused by the kernel: it takes the capability setgid; \"supplementary_groups\" gives it groups"), std::string::npos);
    CHECK_NE(sandbox_complaints("allow_calls = [\"chroot\"]\n").find("the capability sys_chroot"), std::string::npos);
    CHECK_EQ(sandbox_complaints("allow_calls = [\"chroot\"]\ntrusted_capabilities = [\"sys_chroot\"]\n").find("refused by the kernel"), std::string::npos);
    CHECK_NE(sandbox_complaints("user_namespace = \"root\"\ntrusted_capabilities = [\"setgid\"]\n").find("setgroups(2) is denied, whatever it may"), std::string::npos);
}

TEST_CASE("D15: strict knows the requests of ioctl(2), and names of descriptors where it shows processes") {
    CHECK(sandbox("").calls.few_ioctls);
    CHECK_FALSE(sandbox("profile = \"service\"\n").calls.few_ioctls);
    CHECK_EQ(sandbox("allow_ioctls = [\"FS_IOC_SETFLAGS\", 0x1234]\n").calls.allow_ioctls, std::vector<std::uint32_t>{0x40086602U, 0x1234U});
    CHECK(sandbox("allow_ioctls = \"all\"\n").calls.any_ioctl);
    CHECK_NE(sandbox_complaints("allow_ioctls = [\"FS_IOC_SETFLAG\"]\n").find("did you mean \"FS_IOC_SETFLAGS\"?"), std::string::npos);
    CHECK_NE(sandbox_complaints("allow_ioctls = [-1]\n").find("a request of 32 bits"), std::string::npos);
    CHECK_NE(sandbox_complaints("allow_ioctls = \"some\"\n").find("a list, or \"all\""), std::string::npos);
    CHECK_NE(sandbox_complaints("profile = \"service\"\nallow_ioctls = [1]\n").find("has no effect here"), std::string::npos);
    CHECK_NE(sandbox_complaints("profile = \"unconfined\"\nallow_ioctls = [1]\n").find("has no effect here"), std::string::npos);
    CHECK_FALSE(sandbox("").calls.descriptors_have_names);
    CHECK(sandbox("proc = \"processes\"\n").calls.descriptors_have_names);
    CHECK_FALSE(sandbox("profile = \"service\"\nproc = \"processes\"\n").calls.descriptors_have_names);
    CHECK_FALSE(sandbox("").calls.devices_lent);
    CHECK(sandbox("devices = [\"null\", \"kvm\"]\n").calls.devices_lent);
    CHECK(worker("grants.d = { device = \"/dev/kvm\" }\n").sandbox.calls.devices_lent);
}

TEST_CASE("what is wrong with binds is told at the entry") {
    CHECK_EQ(sandbox_complaints("bind_read_only = [\"opt\", 3, { target = \"/b\" }, \"/proc\", \"/a\"]\nbind_writable = [\"/a\"]\n"),
             "w.toml:4:19: error: path of \"bind_read_only\" is not absolute\n"
             "    4 | bind_read_only = [\"opt\", 3, { target = \"/b\" }, \"/proc\", \"/a\"]\n"
             "      |                   ^~~~~ write the whole path, from \"/\"\n"
             "w.toml:4:26: error: an entry of \"bind_read_only\" is a whole number, but must be a path or { source = \"/a\", target = \"/b\" }\n"
             "    4 | bind_read_only = [\"opt\", 3, { target = \"/b\" }, \"/proc\", \"/a\"]\n"
             "      |                          ^\n"
             "w.toml:4:29: error: \"bind_read_only\" has no \"source\"\n"
             "    4 | bind_read_only = [\"opt\", 3, { target = \"/b\" }, \"/proc\", \"/a\"]\n"
             "      |                             ^~~~~~~~~~~~~~~~~\n"
             "w.toml:4:48: error: \"/proc\" in the sandbox is the sandbox's own\n"
             "    4 | bind_read_only = [\"opt\", 3, { target = \"/b\" }, \"/proc\", \"/a\"]\n"
             "      |                                                ^~~~~~~\n"
             "w.toml:5:18: error: \"/a\" is bound twice\n"
             "    5 | bind_writable = [\"/a\"]\n"
             "      |                  ^~~~\n");
}

TEST_CASE("calls and host names are words of their kind") {
    CHECK_EQ(sandbox_complaints("allow_calls = [\"sys mount\"]\ndeny_calls = [\"sys mount\"]\nhostname = \"a_b\"\n"),
             "w.toml:4:16: error: there is no system call \"sys mount\"\n"
             "    4 | allow_calls = [\"sys mount\"]\n"
             "      |                ^~~~~~~~~~~ did you mean \"fsmount\"?\n"
             "w.toml:5:15: error: there is no system call \"sys mount\"\n"
             "    5 | deny_calls = [\"sys mount\"]\n"
             "      |               ^~~~~~~~~~~ did you mean \"fsmount\"?\n"
             "w.toml:6:12: error: \"hostname\" is not a host name\n"
             "    6 | hostname = \"a_b\"\n"
             "      |            ^~~~~ it is of letters, digits, \"-\" and \".\", at most 64\n");
}

}  // namespace
}  // namespace warder::config
