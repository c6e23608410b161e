#include "bench/kinds.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "bench/kinds_floor.h"

namespace warder::bench {

using namespace std::chrono_literals;

namespace {

constexpr Duration patience = 20s;
constexpr double allowed = 1.3;

// Where warderd has a kind done.
enum class By { itself, opener, runner, descriptor_store };

struct Measured {
    const char* name;
    KindSteps steps;
    By by;
    std::size_t effort = 1;   // as a share of the others' count: one in so many
};

// A worker narrows but a few times in its life.
constexpr std::size_t rare = 1000;

constexpr auto itself = By::itself;
constexpr auto opener = By::opener;

constexpr Measured kinds[] = {
    {"read", {.timed = Kind::read}, itself},
    {"write", {.timed = Kind::write}, itself},
    {"append", {.timed = Kind::append}, itself},
    {"create", {.timed = Kind::create, .after = Kind::unlink}, opener},
    {"stat", {.timed = Kind::stat}, itself},
    {"access", {.timed = Kind::access}, itself},
    {"readlink", {.timed = Kind::readlink}, itself},
    {"list", {.timed = Kind::list}, opener},
    {"mkdir", {.timed = Kind::mkdir, .after = Kind::rmdir}, opener},
    {"rmdir", {.before = Kind::mkdir, .timed = Kind::rmdir}, opener},
    {"unlink", {.before = Kind::create, .timed = Kind::unlink}, opener},
    {"rename", {.before = Kind::create, .timed = Kind::rename, .after = Kind::unlink_renamed}, opener},
    {"link", {.timed = Kind::link, .after = Kind::unlink}, opener},
    {"symlink", {.timed = Kind::symlink, .after = Kind::unlink}, opener},
    {"chmod", {.timed = Kind::chmod}, opener},
    {"truncate", {.timed = Kind::truncate}, opener},
    {"watch", {.timed = Kind::watch}, opener, 8},
    {"listen, the socket that is kept", {.timed = Kind::listen}, itself},
    {"connect unix", {.timed = Kind::connect_unix}, opener, 2},
    {"connect tcp", {.timed = Kind::connect_tcp}, opener, 2},
    {"connect udp", {.timed = Kind::connect_udp}, opener},
    {"connect udp by name, known", {.timed = Kind::connect_name}, opener},
    {"raw", {.timed = Kind::raw}, opener},
    {"packet", {.timed = Kind::packet}, opener, 8},
    {"netlink", {.timed = Kind::netlink}, opener, 2},
    {"syslog", {.timed = Kind::syslog}, itself},
    {"device", {.timed = Kind::device}, opener},
    {"secret", {.timed = Kind::secret}, opener},
    {"lookup of a user, known", {.timed = Kind::lookup}, itself},
    {"sysctl, read", {.timed = Kind::sysctl_read}, opener},
    {"sysctl, write", {.before = Kind::sysctl_read, .timed = Kind::sysctl_write}, opener},
    {"run", {.timed = Kind::run}, By::runner, 8},
    {"signal", {.timed = Kind::signal}, itself},
    {"narrow", {.before = Kind::signal, .timed = Kind::narrow}, itself, rare},   // ... and not on a loop that has gone cold
    {"store, put", {.timed = Kind::store_put, .after = Kind::store_fetch}, By::descriptor_store},
    {"store, take", {.before = Kind::store_put, .timed = Kind::store_fetch}, By::descriptor_store},
};

const char* reason_of(By by) {
    switch (by) {
        case By::itself: return "by warderd itself: what it costs to decide and to record is its own";
        case By::opener: return "by an opener, since it may wait, or closing it may: beside the floor with a relay";
        case By::runner: return "by the runner, with a cgroup for each command";
        case By::descriptor_store: return "by the descriptor store";
    }
    return "";
}

// What the kinds are done to, and who is at the other end.
class Stage {
public:
    static Result<Stage> create(const Scratch& scratch) {
        Stage stage(scratch);
        TRY(stage.fill());
        TRY(stage.listen_unix());
        TRY(stage.listen_tcp());
        TRY(stage.listen_log());
        return stage;
    }

    std::string tree() const { return tree_; }
    std::string secret() const { return secret_; }
    std::uint16_t port() const { return port_; }

    // Takes and closes what was connected, so that the next round finds room.
    void drain() const {
        for (const int listener : {unix_.get(), tcp_.get()}) {
            while (Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC))) {
            }
        }
    }

    // Gives what only its owner may change to the worker.
    Result<void> give(const Credentials& who) const {
        if (::chown((tree_ + "/owned").c_str(), who.uid, who.gid) != 0) return failure("chown");
        return {};
    }

    std::string grants() const {
        const std::string port = std::to_string(port_);
        return "reads = { read = \"" + tree_ + "/\" }\nwrites = { write = \"" + tree_ + "/\" }\nappends = { append = \"" + tree_ +
               "/\" }\nspare = { read = \"" + tree_ + "/\" }\ntree = { create = \"" + tree_ +
               "/\", rights = [\"read\", \"stat\", \"access\", \"readlink\", \"list\", \"mkdir\", \"rmdir\", \"unlink\", \"rename\", "
               "\"link\", \"symlink\", \"chmod\", \"truncate\", \"watch\"] }\ndoor = { listen = \"unix:@\" }\nlocal = { connect = "
               "\"unix:" + tree_ + "/socket\" }\npeer = { connect = \"tcp:127.0.0.1:" + port +
               "\" }\ndatagrams = { connect = \"udp:127.0.0.1:" + port + "\" }\nnamed = { connect = \"udp:localhost:" + port +
               "\", private = true }\nping = { raw = \"icmp\" }\narp = { packet = \"arp\", interface = \"lo\" }\nroute = { netlink = \"route\" }\n"
               "log = { syslog = \"" + tree_ + "/log\" }\nnull = { device = \"/dev/null\" }\nkey = { secret = \"" + secret_ +
               "\" }\nusers = { lookup = [\"user\"] }\nqueue = { sysctl = [\"" + kind_sysctl + "\"], write = true }\n"
               "true = { run = [\"/usr/bin/true\"], stdin = true }\nother = { signal = \"other\", signals = [\"WINCH\"] }\n"
               "\n";
    }

private:
    explicit Stage(const Scratch& scratch) : tree_(scratch.path() + "/kinds"), secret_(scratch.path() + "/secret") {}

    static Result<void> write(const std::string& path, mode_t mode) {
        std::ofstream(path) << "<!doctype html><title>bench</title>\n";
        if (::chmod(path.c_str(), mode) != 0) return failure("writing a file of the bench");
        return {};
    }

    Result<void> fill() const {
        if (::mkdir(tree_.c_str(), 0777) != 0 || ::chmod(tree_.c_str(), 0777) != 0) return failure("mkdir");
        TRY(write(tree_ + "/" + kind_file, 0666));
        TRY(write(tree_ + "/owned", 0640));
        TRY(write(secret_, 0600));
        if (::symlink(kind_file, (tree_ + "/" + kind_link).c_str()) != 0) return failure("symlink");
        return {};
    }

    template <typename Address>
    static Result<Fd> bound(int family, int type, const Address& address) {
        Fd socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            return failure("a socket of the bench");
        }
        if (type == SOCK_STREAM && ::listen(socket.get(), 4096) != 0) return failure("listen");
        return socket;
    }

    Result<Fd> bound_path(const char* name, int type) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = tree_ + "/" + name;
        if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, "a socket of the bench");
        std::memcpy(address.sun_path, path.data(), path.size());
        Fd socket = TRY(bound(AF_UNIX, type, address));
        if (::chmod(path.c_str(), 0666) != 0) return failure("chmod");
        return socket;
    }

    Result<void> listen_unix() {
        unix_ = TRY(bound_path("socket", SOCK_STREAM));
        return {};
    }

    Result<void> listen_log() {
        log_ = TRY(bound_path("log", SOCK_DGRAM));
        return {};
    }

    Result<void> listen_tcp() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        tcp_ = TRY(bound(AF_INET, SOCK_STREAM, address));
        socklen_t size = sizeof address;
        if (::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return failure("getsockname");
        port_ = ntohs(address.sin_port);
        return {};
    }

    std::string tree_, secret_;
    Fd unix_, tcp_, log_;
    std::uint16_t port_ = 0;
};

struct Compared {
    Samples floor;
    Samples relayed;
    Samples warderd;
    double ratio = 0;
    double ratio_to_relayed = 0;
};

struct Floors {
    KindFloor bare;
    KindFloor relayed;
};

double ratio_of(const Samples& above, const Samples& below) {
    return percentile(above, 0.5) / std::max(percentile(below, 0.5), 0.001);
}

void append(Samples& to, const Samples& more) { to.insert(to.end(), more.begin(), more.end()); }

Result<Compared> compare(const Measured& kind, Visitor& worker, Floors& floors, const Stage& stage, const Effort& effort) {
    Compared compared;
    std::vector<double> ratios;
    std::vector<double> ratios_to_relayed;
    const std::size_t least = kind.effort == rare ? 2 : 10;
    const std::size_t count = std::max(effort.requests / 10 / kind.effort, least);
    for (std::size_t i = 0; i <= effort.rounds; ++i) {
        const Samples below = TRY(floors.bare.measure(kind.steps, count));
        const Samples relayed = kind.by == opener ? TRY(floors.relayed.measure(kind.steps, count)) : Samples();
        const Samples above = TRY(worker.kind(kind.steps, count));
        stage.drain();
        if (i == 0) continue;   // to warm up
        append(compared.floor, below);
        append(compared.relayed, relayed);
        append(compared.warderd, above);
        ratios.push_back(ratio_of(above, below));
        if (kind.by == opener) ratios_to_relayed.push_back(ratio_of(above, relayed));
    }
    compared.ratio = median(std::move(ratios));
    if (kind.by == opener) compared.ratio_to_relayed = median(std::move(ratios_to_relayed));
    return compared;
}

std::string note_of(const Measured& kind, const Compared& compared) {
    char text[200];
    const int size = std::snprintf(text, sizeof text, "over %.1f x: %-32s %5.2f x  %s", allowed, kind.name, compared.ratio, reason_of(kind.by));
    std::string note(text, static_cast<std::size_t>(size));
    if (kind.by != opener) return note;
    std::snprintf(text, sizeof text, " %.2f x", compared.ratio_to_relayed);
    return note + text;
}

// Whoever is lent datagram sockets may not send descriptors, so there are two of them.
struct Askers {
    Visitor kinds;
    Visitor keeper;
};

Result<Askers> askers_of(const Scratch& scratch) {
    Visitor first = TRY(next_visitor(scratch, patience));
    Visitor second = TRY(next_visitor(scratch, patience));
    if (first.name == "keeper") std::swap(first, second);
    return Askers{std::move(first), std::move(second)};
}

}  // namespace

Result<Section> kinds_section(const Programs& programs, const Effort& effort) {
    const Scratch scratch = TRY(Scratch::create());
    const Stage stage = TRY(Stage::create(scratch));
    const std::string workers = worker_config(scratch, programs, "keeper", "", 1) + "[worker.keeper.grants.kept]\nfd_store_max = 4\n" +
                                worker_config(scratch, programs, "kinds", "", 1) + stage.grants() + "[worker.other]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nready = \"exec\"\n";
    Subject subject = TRY(Subject::start(scratch, programs, workers));
    Askers askers = TRY(askers_of(scratch));
    const Credentials who = askers.kinds.who;
    TRY(stage.give(who));
    const KindPlaces places{stage.tree(), stage.secret(), stage.port(), who.uid, who.gid};
    Floors floors{TRY(KindFloor::start(places, Relay::without)), TRY(KindFloor::start(places, Relay::with))};
    floors.bare.move(Place::one_cpu);
    floors.relayed.move(Place::one_cpu);
    subject.move(Place::one_cpu);
    Section section{.title = "Each kind of request, all sides on one CPU", .rows = {}, .notes = {}};
    for (const Measured& kind : kinds) {
        Visitor& worker = kind.by == By::descriptor_store ? askers.keeper : askers.kinds;
        const auto compared = compare(kind, worker, floors, stage, effort);
        if (!compared) {
            std::fprintf(stderr, "warder-bench: %s\n", kind.name);
            show_log(scratch);
            return Failure(compared.error());
        }
        section.rows.push_back(row(std::string("floor: ") + kind.name, compared->floor));
        if (kind.by == opener) section.rows.push_back(row(std::string("floor with a relay: ") + kind.name, compared->relayed));
        section.rows.push_back(row(std::string("warderd: ") + kind.name, compared->warderd, compared->ratio, "floor"));
        if (compared->ratio > allowed) section.notes.push_back(note_of(kind, *compared));
    }
    section.notes.emplace_back("The floor makes the same system calls in one process: it decides nothing, records nothing, and waits "
                               "where its caller's file or peer makes it wait.");
    section.notes.emplace_back("The floor with a relay takes the question in one process and does it in another, which answers; what "
                               "hangs there does not hang the first. It decides nothing either.");
    section.notes.emplace_back("Channels are brought at start and not asked for; a restart is begun and not waited for: its cost is "
                               "that of a life (--only lives).");
    return section;
}

}  // namespace warder::bench
