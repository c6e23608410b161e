// The comparison by value, and the receipts of real children.
#include "sandbox/receipt.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>

#include "sandbox.h"
#include "sandbox/prepared.h"
#include "sandbox/probe.h"
#include "sys/capabilities.h"

using namespace sandbox;

namespace {

constexpr const char* status_text =
    "Name:\tweb\nUmask:\t0077\nState:\tS (sleeping)\nUid:\t64001\t64001\t64001\t64001\nGid:\t64001\t64001\t64001\t64001\n"
    "Groups:\t \nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
    "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

constexpr const char* limits_text =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max core file size        0                    0                    bytes     \n"
    "Max open files            1024                 2048                 files     \n"
    "Max nice priority         0                    0                    \n";

constexpr const char* mounts_text =
    "124 60 0:43 / / ro,nosuid,nodev,relatime - tmpfs none rw\n"
    "125 124 254:0 /usr /usr ro,nosuid,nodev,relatime - ext4 /dev/vda rw\n"
    "126 124 254:0 /srv/a\\040b /srv/a\\040b rw,nosuid,nodev,relatime - ext4 /dev/vda rw\n";

Expected expected_web() {
    Expected expected;
    expected.plan.uid = expected.plan.gid = 64001;
    expected.plan.limits = {{RLIMIT_NOFILE, 1024, 2048}};
    expected.mounts = {{"/", true, false}, {"/usr", true, false}, {"/srv/a b", false, false}};
    expected.call = {.number = SYS_unshare, .arguments = {}, .answer = EPERM, .name = "unshare"};
    expected.act = ForbiddenAct::list_root;
    expected.set_ids_refused = true;
    expected.landlock = 7;
    expected.descriptors = 0b1111;
    expected.cgroup = "/sys/fs/cgroup/warder/w.web";
    return expected;
}

Observed seen_web() {
    Observed seen;
    seen.there = true;
    seen.status = status_text;
    seen.limits = limits_text;
    seen.mountinfo = mounts_text;
    seen.cgroup = "9:name=systemd:/\n0::/warder/w.web\n";
    seen.oom_score = "0\n";
    for (std::size_t i = 0; i < seen.ours.size(); ++i) {
        seen.ours[i] = 100 + i;
        seen.theirs[i] = i < 5 ? 200 + i : 100 + i;
    }
    seen.descriptors = {{0, 1, 2, 3}};
    seen.nice = 0;
    seen.proof = Proof{.securebits = static_cast<std::int32_t>(worker_securebits),
                       .parent_death_signal = SIGKILL,
                       .memory_deny = 0,
                       .personality = 0,
                       .landlock = EACCES,
                       .calls = EPERM,
                       .keyring = 7,
                       .keyring_made = 7,
                       .descriptors = 0b1111};
    return seen;
}

const ReceiptItem& item(const Receipt& receipt, std::string_view name) {
    const auto found = std::ranges::find(receipt.items, name, &ReceiptItem::name);
    REQUIRE_MESSAGE(found != receipt.items.end(), std::string(name));
    return *found;
}

std::string differs(const Expected& expected, const Observed& seen) {
    const Receipt receipt = compare(expected, seen);
    const auto* found = mismatch(receipt);
    return found == nullptr ? "" : in_words(*found);
}

// With one thing in a text replaced by another.
Observed with(std::string Observed::* text, const std::string& from, const std::string& to) {
    Observed seen = seen_web();
    const std::size_t at = (seen.*text).find(from);
    REQUIRE(at != std::string::npos);
    (seen.*text).replace(at, from.size(), to);
    return seen;
}

std::string differs_with(std::string Observed::* text, const std::string& from, const std::string& to) {
    return differs(expected_web(), with(text, from, to));
}

}  // namespace

TEST_CASE("what was seen as it was wanted is a receipt without a mismatch") {
    const Receipt receipt = compare(expected_web(), seen_web());
    CHECK(receipt.taken);
    CHECK_EQ(open_items(receipt), "");
    CHECK_EQ(item(receipt, "uid").effective, "64001");
    CHECK(item(receipt, "uid").evidence == Evidence::read);
    CHECK(item(receipt, "securebits").evidence == Evidence::proved);
    CHECK_EQ(item(receipt, "limit nofile").effective, "1024 of 2048");
    CHECK_EQ(item(receipt, "mount /srv/a b").effective, "writable, nosuid, nodev");
}

TEST_CASE("before anything was seen every item is wanted and nothing is effective") {
    const Receipt receipt = compare(expected_web(), {});
    CHECK_FALSE(receipt.taken);
    CHECK(mismatch(receipt) == nullptr);
    for (const auto& one : receipt.items) {
        CHECK_EQ(one.effective, "");
        CHECK(one.evidence == Evidence::none);
        CHECK_FALSE(one.confines);
    }
}

TEST_CASE("each thing that the kernel shows otherwise is a mismatch that names it") {
    CHECK_EQ(differs_with(&Observed::status, "Uid:\t64001\t64001", "Uid:\t64001\t0"), "uid: wanted 64001, effective 64001 0 64001 64001");
    CHECK_EQ(differs_with(&Observed::status, "Gid:\t64001", "Gid:\t0"), "gid: wanted 64001, effective 0 64001 64001 64001");
    CHECK_EQ(differs_with(&Observed::status, "Groups:\t ", "Groups:\t4 27 "), "groups: wanted none, effective 4 27");
    for (const char* key : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
        const std::string line = std::string(key) + ":\t000000000000000";
        CHECK(differs_with(&Observed::status, line + "0", line + "1").ends_with("wanted none, effective CAP_CHOWN"));
    }
    CHECK_EQ(differs_with(&Observed::status, "NoNewPrivs:\t1", "NoNewPrivs:\t0"), "no_new_privs: wanted set, effective not set");
    CHECK_EQ(differs_with(&Observed::status, "Seccomp:\t2\nSeccomp_filters:\t1", "Seccomp:\t0\nSeccomp_filters:\t0"),
             "seccomp: wanted 1 filter, effective none");
    CHECK_EQ(differs_with(&Observed::limits, "1024                 2048", "1024                 4096"),
             "limit nofile: wanted 1024 of 2048, effective 1024 of 4096");
    CHECK_EQ(differs_with(&Observed::mountinfo, "/usr /usr ro,", "/usr /usr rw,"),
             "mount /usr: wanted read-only, nosuid, nodev, effective writable, nosuid, nodev");
    CHECK_EQ(differs_with(&Observed::mountinfo, "a\\040b rw,nosuid", "a\\040b rw"),
             "mount /srv/a b: wanted writable, nosuid, nodev, effective writable, nodev");
    CHECK_EQ(differs_with(&Observed::cgroup, "/warder/w.web", "/warder/w.other"), "cgroup: wanted own, effective /warder/w.other");
    CHECK_EQ(differs_with(&Observed::oom_score, "0", "-1000"), "oom score: wanted 0, effective -1000");
}

TEST_CASE("an inherited filter alone is not the worker's own") {
    Expected expected = expected_web();
    expected.inherited_filters = 1;
    CHECK_EQ(differs(expected, seen_web()), "seccomp: wanted 2 filters, effective 1 filter");
    CHECK_EQ(differs(expected, with(&Observed::status, "filters:\t1", "filters:\t2")), "");
}

TEST_CASE("a mount that nobody planned is a mismatch, one that came along with a planned tree must be as tight") {
    const auto with_mount = [](const std::string& line) {
        Observed seen = seen_web();
        seen.mountinfo += line;
        return differs(expected_web(), seen);
    };
    CHECK_EQ(with_mount("127 124 0:5 / /proc rw,nosuid,nodev - proc proc rw\n"), "other mounts: wanted none, effective /proc");
    CHECK_EQ(with_mount("127 125 0:5 / /usr/local ro,nosuid,nodev - ext4 /dev/vdb rw\n"), "");
    CHECK_EQ(with_mount("127 125 0:5 / /usr/local ro,nosuid - ext4 /dev/vdb rw\n"),
             "other mounts: wanted none, effective /usr/local (read-only, nosuid)");
    CHECK_EQ(with_mount("127 124 254:0 /usr /usr rw,nosuid,nodev - ext4 /dev/vda rw\n"),
             "mount /usr: wanted read-only, nosuid, nodev, effective writable, nosuid, nodev");
}

TEST_CASE("namespaces that are the host's are a mismatch where they were to be its own") {
    Observed seen = seen_web();
    seen.theirs[2] = seen.ours[2];
    CHECK_EQ(differs(expected_web(), seen), "network namespace: wanted own, effective the host's");
    Expected expected = expected_web();
    expected.plan.network = Network::host;
    CHECK_EQ(differs(expected, seen), "");
    CHECK_FALSE(item(compare(expected, seen), "network namespace").confines);
}

TEST_CASE("what the program has made tighter itself is no mismatch") {
    CHECK_EQ(differs_with(&Observed::limits, "1024                 2048", "10                   10"), "");
    CHECK_EQ(differs_with(&Observed::status, "filters:\t1", "filters:\t3"), "");
    CHECK_EQ(differs_with(&Observed::status, "Umask:\t0077", "Umask:\t0022"), "");
    CHECK_EQ(differs_with(&Observed::oom_score, "0", "500"), "");
    Observed seen = seen_web();
    seen.nice = 10;
    seen.descriptors = {{0, 1, 2, 3, 4, 17}};
    CHECK_EQ(differs(expected_web(), seen), "");
    seen.nice = -5;
    CHECK_EQ(differs(expected_web(), seen), "nice: wanted 0, effective -5");
}

TEST_CASE("what the child could do although it was forbidden is a mismatch") {
    Observed seen = seen_web();
    seen.proof->calls = 0;
    CHECK_EQ(differs(expected_web(), seen), "seccomp denies: wanted unshare: EPERM, effective unshare: let through");
    seen = seen_web();
    seen.proof->landlock = 0;
    CHECK_EQ(differs(expected_web(), seen), "landlock: wanted ABI 7, reading /: EACCES, effective reading /: let through");
    seen = seen_web();
    Expected old = expected_web();
    old.signals_left_out = true;
    seen.proof->landlock = 0;
    CHECK(differs(old, seen).starts_with("landlock: wanted ABI 7 with its fault of threads (signals: by the pid namespace), reading /"));
    seen.proof->landlock = ENOENT;
    CHECK(differs(expected_web(), seen).ends_with("effective reading /: ENOENT"));
    seen = seen_web();
    seen.proof->securebits = 0;
    CHECK_EQ(differs(expected_web(), seen), "securebits: wanted noroot, all locked, effective bits 0");
    seen = seen_web();
    seen.proof->keyring = 8;
    CHECK_EQ(differs(expected_web(), seen), "session keyring: wanted own, empty, effective serial 8");
    seen = seen_web();
    seen.proof->descriptors = 0b101111;
    CHECK_EQ(differs(expected_web(), seen), "descriptors over exec: wanted 0 1 2 3, effective 0 1 2 3 5");
}

TEST_CASE("a proof that did not come counts as not in force, unless its filter could not let it out") {
    Observed seen = seen_web();
    seen.proof.reset();
    CHECK_EQ(differs(expected_web(), seen), "securebits: wanted noroot, all locked, effective not proved");
    Expected mute = expected_web();
    mute.proof_can_be_sent = false;
    CHECK_EQ(differs(mute, seen), "");
    CHECK(item(compare(mute, seen), "securebits").evidence == Evidence::none);
    CHECK_EQ(item(compare(mute, seen), "landlock").effective, "");
}

TEST_CASE("what takes a right to get is a mismatch, what a program may set itself is shown and not judged") {
    Observed seen = seen_web();
    seen.scheduling = Scheduling{Scheduler::fifo, 5};
    CHECK_EQ(differs(expected_web(), seen), "scheduling: wanted other, effective fifo:5");
    seen = seen_web();
    seen.io_priority = IoPriority{IoClass::realtime, 0};
    CHECK_EQ(differs(expected_web(), seen), "io priority: wanted by-nice, effective realtime:0");
    seen = seen_web();
    seen.io_priority = IoPriority{IoClass::best_effort, 0};
    CHECK_EQ(differs(expected_web(), seen), "");
    CHECK_FALSE(item(compare(expected_web(), seen), "io priority").matches);
    seen = seen_web();
    seen.dumpable = true;
    Expected expected = expected_web();
    expected.plan.dumpable = false;
    CHECK_EQ(differs(expected, seen), "dumpable: wanted no, effective yes");
}

TEST_CASE("what a capability of the plan is for is shown and not judged: the program may have used it since its exec") {
    const auto differs_under = [](int capability, const Observed& seen) {
        Expected expected = expected_web();
        Observed there = seen;
        expected.plan.capabilities = capabilities::bit(capability);
        return differs(expected, there);
    };
    constexpr int unrelated = CAP_NET_BIND_SERVICE;
    const Observed dropped = with(&Observed::status, "Uid:\t64001\t64001\t64001\t64001", "Uid:\t33\t33\t33\t33");
    CHECK_EQ(differs_under(unrelated, dropped), "uid: wanted 64001, effective 33 33 33 33");
    CHECK_EQ(differs_under(CAP_SETUID, dropped), "");
    const Observed grouped = with(&Observed::status, "Groups:\t ", "Groups:\t33 ");
    CHECK_EQ(differs_under(unrelated, grouped), "groups: wanted none, effective 33");
    CHECK_EQ(differs_under(CAP_SETGID, grouped), "");
    const Observed raised = with(&Observed::limits, "1024                 2048", "4096                 4096");
    CHECK_EQ(differs_under(unrelated, raised), "limit nofile: wanted 1024 of 2048, effective 4096");
    CHECK_EQ(differs_under(CAP_SYS_RESOURCE, raised), "");
    Observed first = seen_web();
    first.scheduling = Scheduling{Scheduler::fifo, 5};
    first.nice = -5;
    CHECK_EQ(differs_under(unrelated, first), "nice: wanted 0, effective -5");
    CHECK_EQ(differs_under(CAP_SYS_NICE, first), "");
}

TEST_CASE("a process that is gone is not judged") {
    Observed seen = seen_web();
    seen.there = false;
    seen.status.clear();
    CHECK_EQ(differs(expected_web(), seen), "");
}

TEST_CASE("the receipt of a whole sandbox is as its plan, by both kinds of evidence") {
    NEEDS_ROOT();
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    Plan plan = plan_for({"/usr/bin/sleep", "60"});
    plan.limits = {{RLIMIT_NOFILE, 100, 200}, {RLIMIT_CORE, 0, 0}};
    plan.nice = 3;
    plan.oom_score_adjust = 100;
    {
        const Life life(plan, {.broker = pair[1]});
        REQUIRE(life.proof);
        const Receipt receipt = life.receipt();
        CHECK(receipt.taken);
        CHECK_EQ(open_items(receipt), "");
        for (const char* name : {"uid", "no_new_privs", "seccomp", "network namespace", "mount /", "limit nofile", "descriptors"}) {
            CHECK_MESSAGE(item(receipt, name).evidence == Evidence::read, name);
        }
        for (const char* name : {"securebits", "landlock", "seccomp denies", "descriptors over exec", "parent-death signal"}) {
            CHECK_MESSAGE(item(receipt, name).evidence == Evidence::proved, name);
        }
        CHECK_EQ(item(receipt, "limit nofile").effective, "100 of 200");
        CHECK_EQ(item(receipt, "nice").effective, "3");
        CHECK_EQ(item(receipt, "hostname").effective, "tester");
        CHECK_EQ(item(receipt, "scheduling").effective, "other");
        CHECK_EQ(item(receipt, "io priority").effective, "by-nice");
        CHECK_EQ(item(receipt, "dumpable").effective, "yes");
        CHECK(item(receipt, "processors").evidence == Evidence::read);
        CHECK(item(receipt, "session keyring").evidence == Evidence::proved);
        CHECK_EQ(item(receipt, "other mounts").effective, "none");
        CHECK_EQ(item(receipt, "descriptors over exec").effective, "0 1 2 3");
    }
    ::close(pair[0]);
    ::close(pair[1]);
}

TEST_CASE("a limit of no bytes for core dumps is kept where there are to be none at all, by the limit that stops handlers too") {
    NEEDS_ROOT();
    Plan plan = plan_for({"/usr/bin/sleep", "60"});
    plan.limits = {{RLIMIT_CORE, 0, 0}};
    plan.core_dumps = false;
    const Receipt receipt = Life(plan).receipt();
    CHECK(mismatch(receipt) == nullptr);
    CHECK_EQ(item(receipt, "core dumps").effective, "none");
    CHECK(std::ranges::find(receipt.items, "limit core", &ReceiptItem::name) == receipt.items.end());
}

TEST_CASE("the receipt of an open sandbox claims nothing that is not there") {
    NEEDS_ROOT();
    Plan plan = plan_for({"/usr/bin/sleep", "60"});
    plan.root = Root::host;
    plan.mount_namespace = plan.private_tmp = plan.pid_namespace = plan.ipc_namespace = plan.uts_namespace = false;
    plan.network = Network::host;
    plan.landlock = plan.calls.enabled = false;
    const Life life(plan);
    const Receipt receipt = life.receipt();
    CHECK_EQ(open_items(receipt), "");
    CHECK_EQ(item(receipt, "mount namespace").effective, "the host's");
    CHECK_EQ(item(receipt, "landlock").evidence, Evidence::none);
    CHECK_EQ(item(receipt, "landlock").effective, "");
    CHECK_FALSE(item(receipt, "seccomp").confines);
}

TEST_CASE("a sandbox whose filter denies write runs, and its receipt says that nothing was proved") {
    NEEDS_ROOT();
    Plan plan = plan_for({"/usr/bin/sleep", "60"});
    plan.calls.deny = {{"write"}};
    const Life life(plan);
    CHECK_FALSE(life.proof);
    const Receipt receipt = life.receipt();
    CHECK(mismatch(receipt) == nullptr);
    CHECK(item(receipt, "seccomp denies").evidence == Evidence::none);
}

TEST_CASE("a limit that somebody raised behind warderd's back is found") {
    NEEDS_ROOT();
    const auto held = capabilities::held();
    if (!held || (held->effective & capabilities::bit(CAP_SYS_RESOURCE)) == 0) {
        std::puts("skipped: raising the limit of another process takes CAP_SYS_RESOURCE");
        return;
    }
    Plan plan = plan_for({"/usr/bin/sleep", "60"});
    plan.limits = {{RLIMIT_NOFILE, 100, 100}};
    const Life life(plan);
    REQUIRE(mismatch(life.receipt()) == nullptr);
    const rlimit raised{500, 500};
    REQUIRE(::prlimit(life.worker.pid, RLIMIT_NOFILE, &raised, nullptr) == 0);
    const Receipt receipt = life.receipt();
    const auto* found = mismatch(receipt);
    REQUIRE(found != nullptr);
    CHECK_EQ(in_words(*found), "limit nofile: wanted 100, effective 500");
}

TEST_CASE("taking a receipt is quick and waits for nobody") {
    NEEDS_ROOT();
    const Life life(plan_for({"/usr/bin/sleep", "60"}));
    // A stopped process has nothing to say, and is not asked.
    REQUIRE(send_signal(life.worker.pidfd.get(), SIGSTOP));
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) (void)life.receipt();
    const auto each = (std::chrono::steady_clock::now() - began) / 100;
    MESSAGE("one receipt: ", std::chrono::duration_cast<std::chrono::microseconds>(each).count(), " us");
    CHECK(each < std::chrono::milliseconds(50));
}

TEST_CASE("a limit of the group is in the receipt as its file has it, and one that is not in force is no match") {
    Expected expected = expected_web();
    expected.plan.group_limits = {{"memory.max", "67108864", {}, {}}, {"pids.max", "20", {}, {}}};
    Observed seen = seen_web();
    seen.group_limits = {"67108864", "20"};
    const Receipt good = compare(expected, seen);
    CHECK(mismatch(good) == nullptr);
    CHECK_EQ(item(good, "limit memory_max").effective, "67108864");
    CHECK(item(good, "limit pids_max").evidence == Evidence::read);
    seen.group_limits = {"max", ""};
    const Receipt bad = compare(expected, seen);
    CHECK_EQ(in_words(item(bad, "limit memory_max")), "limit memory_max: wanted 67108864, effective max");
    CHECK_FALSE(item(bad, "limit memory_max").matches);
    CHECK_EQ(in_words(item(bad, "limit pids_max")), "limit pids_max: wanted 20, effective not set");
    CHECK_FALSE(item(bad, "limit pids_max").matches);
    CHECK(item(compare(expected, {}), "limit memory_max").evidence == Evidence::none);
}

TEST_CASE("without root the uid matches and confines nothing, and the receipt says why") {
    Expected expected = expected_web();
    expected.plan.without_root = true;
    const Receipt receipt = compare(expected, seen_web());
    CHECK_EQ(open_items(receipt), "");
    CHECK_EQ(item(receipt, "uid").effective, "64001, not separated: warderd's own");
    CHECK_FALSE(item(receipt, "uid").confines);
    CHECK(item(compare(expected_web(), seen_web()), "uid").confines);
}

TEST_CASE("an overlay is held against its layers, its size and what it lets through, as the kernel names them") {
    Expected expected;
    expected.plan.root = Root::system;
    expected.mounts = {{"/", true, false}, {"/.overlays/0/0", true, false}, {"/.overlays/0/1", true, false}, {"/.overlays/0/top", false, false},
                       {"/srv/tree", false, false,
                        ExpectedOverlay{{.target = "/srv/tree", .lower = {"/opt/a", "/opt/b"}, .size = 1 << 20},
                                        {"/.overlays/0/0", "/.overlays/0/1"}, "/.overlays/0/top"}}};
    const std::string text = "1 0 0:9 / / ro,nosuid,nodev - tmpfs tmpfs rw\n"
                             "2 1 254:0 /opt/a /.overlays/0/0 ro,nosuid,nodev - ext4 /dev/vda rw\n"
                             "3 1 254:0 /opt/b /.overlays/0/1 ro,nosuid,nodev - ext4 /dev/vda rw\n"
                             "4 1 0:10 / /.overlays/0/top rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=1024k,mode=700\n"
                             "5 1 0:11 / /srv/tree rw,nosuid,nodev,noexec,relatime - overlay overlay rw,lowerdir=/.overlays/0/0:/.overlays/0/1,"
                             "upperdir=/.overlays/0/top/upper,workdir=/.overlays/0/top/work,uuid=on\n";
    const auto said = [&](const std::string& from, const std::string& to) {
        Observed seen;
        seen.there = true;
        seen.mountinfo = text;
        if (!from.empty()) {
            REQUIRE(seen.mountinfo.find(from) != std::string::npos);
            seen.mountinfo.replace(seen.mountinfo.find(from), from.size(), to);
        }
        for (const auto& one : compare(expected, seen).items) {
            if (one.name == "mount /srv/tree") return (one.matches ? "" : "differs: ") + one.effective;
        }
        return std::string("not there");
    };
    CHECK_EQ(said("", ""), "overlay of /opt/a, /opt/b, 1MiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("lowerdir=/.overlays/0/0:/.overlays/0/1", "lowerdir=/.overlays/0/1:/.overlays/0/0"),
             "differs: overlay of /opt/b, /opt/a, 1MiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("/.overlays/0/1,", "/etc,"), "differs: overlay of /opt/a, /etc, 1MiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("/.overlays/0/1 ro", "/.overlays/0/1 rw"), "differs: overlay of /opt/a, /.overlays/0/1, 1MiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("size=1024k", "size=2048k"), "differs: overlay of /opt/a, /opt/b, 2MiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("size=1024k", "size=512k"), "overlay of /opt/a, /opt/b, 512KiB, writable, nosuid, nodev, noexec");
    CHECK_EQ(said(",size=1024k", ""), "differs: overlay of /opt/a, /opt/b, no size told, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("upperdir=/.overlays/0/top/", "upperdir=/var/"), "differs: overlay of /opt/a, /opt/b, no size told, writable, nosuid, nodev, noexec");
    CHECK_EQ(said("nodev,noexec,relatime", "nodev,relatime"), "differs: overlay of /opt/a, /opt/b, 1MiB, writable, nosuid, nodev");
    CHECK_EQ(said("- overlay overlay", "- tmpfs overlay"), "differs: tmpfs, writable, nosuid, nodev, noexec");
}

TEST_CASE("a user namespace is held against its maps, and against what keeps groups from being changed") {
    Expected expected;
    expected.plan.uid = 64001;
    expected.plan.gid = 64002;
    expected.plan.user_namespace = true;
    expected.plan.uid_map = {{1, 100000, 10}, {0, own_id, 1}};
    expected.plan.gid_map = {{own_id, own_id, 1}};
    Observed seen;
    seen.there = true;
    seen.ours.fill(7);
    seen.theirs.fill(8);
    seen.uid_map = "         0      64001          1\n         1     100000         10\n";
    seen.gid_map = "     64002      64002          1\n";
    seen.setgroups = "deny\n";
    const auto said = [&](const Observed& with) {
        for (const auto& one : compare(expected, with).items) {
            if (one.name == "user namespace") return (one.matches ? "" : "differs: ") + one.effective;
        }
        return std::string("not there");
    };
    CHECK_EQ(said(seen), "own, uids 0:64001:1 1:100000:10, gids 64002:64002:1, setgroups denied");
    Observed other = seen;
    other.setgroups = "allow\n";
    CHECK_EQ(said(other), "differs: own, uids 0:64001:1 1:100000:10, gids 64002:64002:1, setgroups allowed");
    other = seen;
    other.uid_map = "         0          0 4294967295\n";
    CHECK_EQ(said(other), "differs: own, uids 0:0:4294967295, gids 64002:64002:1, setgroups denied");
    other = seen;
    other.gid_map.clear();
    CHECK_EQ(said(other), "differs: own, uids 0:64001:1 1:100000:10, gids none, setgroups denied");
    other = seen;
    other.theirs = seen.ours;
    CHECK_EQ(said(other), "differs: warderd's");
    expected.plan.user_namespace = false;
    CHECK_EQ(said(other), "warderd's");
    CHECK_EQ(said(seen), "own");
}
