#include <set>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::good;
using testing::worker;

TEST_CASE("where a worker stands, and comments, do not change its fingerprint") {
    const std::string keys = "[worker.web]\nexec = \"/usr/bin/web\"\n[worker.web.grants]\na = { read = \"/a\" }\n";
    const Worker here = good(keys).workers.at(0);
    const Worker there = good("# more\n\n[worker.other]\nexec = \"/usr/bin/x\"\n" + keys).workers.at(1);
    CHECK_NE(here.where.line, there.where.line);
    CHECK_NE(here.grants.at(0).origin, there.grants.at(0).origin);
    CHECK_EQ(fingerprint_of(here), fingerprint_of(there));
}

TEST_CASE("every key of a worker changes its fingerprint") {
    std::set<std::string> seen = {fingerprint_of(worker(""))};
    const std::vector<std::string> changes = {
        "user = \"u\"\n", "group = \"u\"\n", "supplementary_groups = [\"a\"]\n", "environment = { A = \"1\" }\n",
        "environment = { A = \"2\" }\n", "working_directory = \"/srv\"\n", "request_access = \"all\"\n", "door = \"python\"\n", "ready = \"notify\"\n",
        "autostart = false\n", "setup_timeout = \"1s\"\n", "ready_timeout = \"1s\"\n", "restart = \"never\"\n",
        "restart = { delay = \"1s\" }\n", "restart = { backoff_factor = 3 }\n", "restart = { max_delay = \"1s\" }\n",
        "restart = { jitter = 0.5 }\n", "restart = { reset_after = \"1s\" }\n", "restart = { start_limit_burst = 1 }\n",
        "restart = { start_limit_interval = \"1s\" }\n", "restart = { success = [1] }\n", "stop_signal = \"SIGINT\"\n",
        "stop_timeout = \"1s\"\n", "max_pending_requests = 1\n", "max_lent_memory = \"1MiB\"\n", "umask = \"0022\"\n", "nice = 1\n", "oom_score_adjust = 1\n",
        "io_priority = \"idle\"\n", "io_priority = \"best-effort:1\"\n", "scheduling = \"batch\"\n",
        "scheduling = \"fifo:1\"\n", "scheduling = \"fifo:2\"\n", "cpus = \"0\"\n", "cpus = \"1\"\n",
        "sandbox = { capabilities = [\"ipc_lock\"] }\n", "sandbox = { memory_deny_write_execute = false }\n",
        "sandbox = { core_dumps = true }\n", "sandbox = { dumpable = false }\n", "sandbox = { private_keyring = false }\n", "sandbox = { lock_personality = false }\n",
        "sandbox = { terminal = \"/dev/a\" }\n", "sandbox = { profile = \"unconfined\", no_new_privileges = false }\n",
        "limits = { core = 0 }\n", "limits = { nofile = \"1:2\" }\n", "logging = { keep = 1 }\n",
        "logging = { max_size = \"1MiB\" }\n", "sandbox = { profile = \"unconfined\" }\n", "sandbox = { profile = \"service\" }\n",
        "sandbox = { managed_directories = [\"runtime\"] }\n", "sandbox = { managed_directories = [{ kind = \"runtime\", mode = \"0711\" }] }\n",
        "sandbox = { managed_directories = [{ kind = \"runtime\", mode = \"0750\" }] }\n",
        "sandbox = { managed_directories = [{ kind = \"runtime\", mode = \"0750\", group = \"a\" }] }\n",
        "sandbox = { secret_files = { a = \"/a\" } }\n", "sandbox = { secret_files = { b = \"/a\" } }\n", "sandbox = { network = \"host\", names = \"host\" }\n",
        "sandbox = { ptys = true }\n", "sandbox = { home = \"/a\" }\n", "sandbox = { shell = \"/a\" }\n", "sandbox = { restrict_suid_sgid = false }\n",
        "sandbox = { bind_read_only = [\"/a\"] }\n", "sandbox = { bind_writable = [\"/a\"] }\n", "sandbox = { exec_paths = [\"/a\"] }\n",
        "sandbox = { tmp_size = \"1MiB\" }\n", "sandbox = { hostname = \"a\" }\n", "sandbox = { allow_calls = [\"bpf\"] }\n",
        "sandbox = { deny_calls = [\"bpf\"] }\n", "sandbox = { deny_calls = [\"bpf:EACCES\"] }\n", "sandbox = { kill_calls = [\"bpf\"] }\n",
        "sandbox = { log_calls = [\"bpf\"] }\n", "sandbox = { calls = [\"@default\"] }\n", "sandbox = { log_denied_calls = true }\n", "sandbox = { evidence = \"full\" }\n",
        "sandbox = { call_rules = [{ call = \"prctl\", equals = 1 }] }\n", "sandbox = { call_rules = [{ call = \"prctl\", differs = 1 }] }\n",
        "sandbox = { root = \"minimal\" }\n", "sandbox = { root = \"minimal\", bind_read_only = [\"/a\"] }\n", "sandbox = { devices = [] }\n",
        "sandbox = { proc = \"processes\" }\n", "sandbox = { files = { \"/a\" = \"\" } }\n", "sandbox = { managed_directories = [\"state\"] }\n",
        "sandbox = { tmpfs = [{ target = \"/a\", size = \"1MiB\" }] }\n", "sandbox = { cgroup_namespace = false }\n",
        "sandbox = { user_namespace = \"self\" }\n", "sandbox = { user_namespace = \"root\" }\n",
        "sandbox = { user_namespace = { uid_map = [\"0:self:1\", \"1:100000:10\"], gid_map = [\"0:self:1\"] } }\n",
        "sandbox = { user_namespace = { uid_map = [\"0:self:1\", \"1:100000:11\"], gid_map = [\"0:self:1\"] } }\n",
        "sandbox = { user_namespace = { uid_map = [\"0:self:1\"], gid_map = [\"0:self:1\", \"1:100000:10\"] } }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/b\"], size = \"1MiB\" }] }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/b\", \"/c\"], size = \"1MiB\" }] }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/c\", \"/b\"], size = \"1MiB\" }] }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/b\"], size = \"2MiB\" }] }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/b\"], size = \"1MiB\", mode = \"0700\" }] }\n",
        "sandbox = { overlays = [{ target = \"/a\", lower = [\"/b\"], size = \"1MiB\", noexec = false }] }\n",
        "sandbox = { time_offsets = { boottime = \"1s\" } }\n", "sandbox = { time_offsets = { monotonic = \"1s\" } }\n",
        "sandbox = { scope_signals = false }\n", "sandbox = { scope_abstract_sockets = false }\n", "sandbox = { optional_features = [\"landlock\"] }\n",
        "sandbox = { network = \"host\", tcp_bind = [] }\n", "sandbox = { network = \"host\", tcp_connect = [1] }\n",
        "sandbox = { network = \"/a\" }\n", "sandbox = { bind_read_only = [{ source = \"/a\", noexec = true }] }\n", "grants = { a = { read = \"/a\" } }\n", "grants = { b = { read = \"/a\" } }\n",
        "grants = { a = { write = \"/a\" } }\n", "grants = { a = { read = \"/a/\" } }\n", "grants = { a = { read = \"/b\" } }\n",
        "grants = { a = { read = \"/a\", open_as = \"root\" } }\n", "grants = { a = { read = \"/a\", owner = \"root\" } }\n",
        "grants = { a = { create = \"/a\", mode = \"0600\" } }\n", "grants = { a = { read = \"/a\", pin = true } }\n",
        "grants = { a = { read = \"/a/\", names = [\"a\"] } }\n", "grants = { a = { read = \"/a/\", cross_mounts = true } }\n",
        "grants = { a = { listen = \"tcp:*:80\" } }\n", "grants = { a = { listen = \"tcp:*:80\", backlog = 1 } }\n",
        "grants = { a = { listen = \"tcp:*:80\", reuse_port = true } }\n", "grants = { a = { listen = \"tcp:[::]:80\" } }\n",
        "grants = { a = { listen = \"tcp:[::]:80\", v6_only = false } }\n", "grants = { a = { secret = \"/a\" } }\n",
        "grants = { a = { connect = \"tcp:*:80\" } }\n", "max_request_rate = 1\n", "max_fds_in_flight = 1\n",
        "grants = { a = { read = \"/a\", max_uses = 1 } }\n", "grants = { a = { read = \"/a\", max_rate = 1 } }\n",
        "ready = \"notify\"\ngrants = { a = { read = \"/a\", until = \"ready\" } }\n",
        "grants = { a = { read = \"/a\", rights = [\"stat\"] } }\n", "grants = { a = { list = \"/a/\" } }\n",
        "grants = { a = { raw = \"icmp\" } }\n", "grants = { a = { raw = \"udp\" } }\n",
        "grants = { a = { raw = \"udp\", family = \"ipv6\" } }\n", "grants = { a = { packet = \"arp\" } }\n",
        "grants = { a = { packet = \"arp\", interface = \"eth0\" } }\n", "grants = { a = { netlink = \"route\" } }\n",
        "grants = { a = { device = \"/dev/a\" } }\n", "grants = { a = { device = \"/dev/a\", access = \"read-write\" } }\n",
        "grants = { a = { fd_store_max = 1 } }\n", "grants = { a = { fd_store_max = 2 } }\n",
        "grants = { a = { lookup = [\"user\"] } }\n", "grants = { a = { lookup = [\"group\"] } }\n",
        "grants = { a = { lookup = [\"user\"], names = [\"a\"] } }\n", "grants = { a = { sysctl = [\"a\"] } }\n",
        "grants = { a = { sysctl = [\"b\"] } }\n", "grants = { a = { sysctl = [\"a\"], write = true } }\n",
        "grants = { a = { run = [\"/a\"] } }\n", "grants = { a = { run = [\"/a\", \"b\"] } }\n",
        "grants = { a = { run = [\"/a\", \"{b:word}\"] } }\n", "grants = { a = { run = [\"/a\", \"{b:number}\"] } }\n",
        "grants = { a = { run = [\"/a\", \"{c:number}\"] } }\n", "grants = { a = { run = [\"/a\", \"-x{c:number}\"] } }\n",
        "grants = { a = { run = [\"/a\", \"{c:path:/b}\"] } }\n", "grants = { a = { run = [\"/a\", \"{c:path:/c}\"] } }\n",
        "grants = { a = { run = [\"/a\"], user = \"u\" } }\n", "grants = { a = { run = [\"/a\"], stdin = true } }\n",
        "grants = { a = { run = [\"/a\"], stdout = false } }\n", "grants = { a = { run = [\"/a\"], stderr = false } }\n",
        "grants = { a = { run = [\"/a\"], timeout = \"1s\" } }\n", "grants = { a = { run = [\"/a\"], max_concurrent = 1 } }\n",
        "grants = { a = { signal = \"web\", signals = [\"HUP\"] } }\n",
        "grants = { a = { signal = \"web\", signals = [\"USR1\"] } }\n", "grants = { a = { restart = \"web\" } }\n",
        "grants = { a = { syslog = true } }\n", "grants = { a = { syslog = \"/run/log\" } }\n",
    };
    for (const std::string& change : changes) {
        CAPTURE(change);
        CHECK(seen.insert(fingerprint_of(worker(change))).second);
    }
}

TEST_CASE("no value can look like another key") {
    const std::string one = fingerprint_of(worker("environment = { A = \"1\\nnice=5\" }\n"));
    const std::string other = fingerprint_of(worker("environment = { A = \"1\\\\nnice=5\" }\n"));
    CHECK_NE(one, other);
    CHECK_EQ(one.find("\nnice=5\n"), std::string::npos);
}

}  // namespace
}  // namespace warder::config

TEST_CASE("what a reload changes is told by the keys that stand in the file") {
    const std::vector<std::string> ours{"program", "argument", "argument.count", "limit", "limit.soft", "sandbox.bind_read_only.source", "sandbox.bind_read_only.target",
                                        "grant.right", "grant", "sandbox.calls.lent", "restart.delay", "environment.count", "environment",
                                        "sandbox.calls", "sandbox.bind_read_only: /srv/a is another file now"};
    const std::vector<std::string> theirs{"exec", "limits", "sandbox.bind_read_only", "grants", "restart.delay", "environment", "sandbox.calls",
                                          "sandbox.bind_read_only: /srv/a is another file now"};
    CHECK(warder::config::keys_as_written(ours) == theirs);
}
