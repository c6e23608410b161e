#include "bench/fairness.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>

#include "bench/orders.h"

namespace warder::bench {

using namespace std::chrono_literals;

namespace {

constexpr Duration patience = 20s;

// A file system whose server never says a word: whoever opens anything on it waits.
class Silent {
public:
    static Result<Silent> mount_at(const std::string& path) {
        Fd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
        if (!device) return failure("/dev/fuse");
        const std::string options =
            "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
        if (::mount("silent", path.c_str(), "fuse", 0, options.c_str()) != 0) return failure("mounting a FUSE file system");
        return Silent(path, std::move(device));
    }

    Silent(Silent&&) = default;
    Silent& operator=(Silent&&) = delete;
    ~Silent() {
        if (device_) ::umount2(path_.c_str(), MNT_DETACH);
    }

private:
    Silent(std::string path, Fd device) : path_(std::move(path)), device_(std::move(device)) {}
    std::string path_;
    Fd device_;
};

// Tells a worker to go on until it is told to stop.
Result<void> begin(Visitor& visitor, Doing doing, std::uint32_t width) {
    const Order order{0, width, doing};
    if (::send(visitor.socket.get(), &order, sizeof order, MSG_NOSIGNAL) < 0) return failure("ordering a worker of the bench");
    return {};
}

// A word ends it; the worker answers with how often it did what it was told.
Result<std::uint32_t> end(Visitor& visitor) {
    const char word = 0;
    std::uint32_t times = 0;
    if (::send(visitor.socket.get(), &word, sizeof word, MSG_NOSIGNAL) < 0) return failure("stopping a worker of the bench");
    if (::recv(visitor.socket.get(), &times, sizeof times, MSG_WAITALL) != static_cast<ssize_t>(sizeof times)) {
        return failure("hearing from a worker of the bench");
    }
    return times;
}

struct Trial {
    std::string name;
    Samples samples;
    std::vector<double> p50s;
    std::vector<double> p99s;
    std::uint64_t times = 0;   // that the other did what it does
    std::uint64_t turns = 0;   // of warderd's loop meanwhile, by its own count
    std::uint64_t turns_over_5ms = 0;
};

class Fairness {
public:
    Fairness(Subject& subject, Visitor& one, Visitor& other, const Effort& effort)
        : subject_(subject), one_(one), other_(other), effort_(effort) {}

    Result<void> round() {
        TRY(measure(idle));
        TRY(against(flooding, Doing::flood, 1));
        TRY(against(wide, Doing::flood, 64));
        TRY(against(hanging, Doing::hang, 1));
        TRY(against(computing, Doing::compute, 1));
        return {};
    }

    // What was measured in rounds to warm up does not count.
    void forget() {
        for (Trial* trial : {&idle, &flooding, &wide, &hanging, &computing}) {
            trial->samples.clear();
            trial->p50s.clear();
            trial->p99s.clear();
            trial->times = trial->turns = trial->turns_over_5ms = 0;
        }
    }

    Trial idle{.name = "alone", .samples = {}, .p50s = {}, .p99s = {}};
    Trial flooding{.name = "while another floods, one open a request", .samples = {}, .p50s = {}, .p99s = {}};
    Trial wide{.name = "while another floods, 64 opens a request", .samples = {}, .p50s = {}, .p99s = {}};
    Trial hanging{.name = "while another hangs on a FUSE file system", .samples = {}, .p50s = {}, .p99s = {}};
    Trial computing{.name = "while another computes, and asks nothing", .samples = {}, .p50s = {}, .p99s = {}};

private:
    Result<void> measure(Trial& trial) {
        const Samples samples = TRY(one_.opens(effort_.requests));
        trial.samples.insert(trial.samples.end(), samples.begin(), samples.end());
        trial.p50s.push_back(percentile(samples, 0.5));
        trial.p99s.push_back(percentile(samples, 0.99));
        return {};
    }

    Result<void> against(Trial& trial, Doing doing, std::uint32_t width) {
        const Subject::Loop before = TRY(subject_.loop());
        TRY(begin(other_, doing, width));
        const auto measured = measure(trial);
        trial.times += TRY(end(other_));
        const Subject::Loop after = TRY(subject_.loop());
        trial.turns += after.turns - before.turns;
        trial.turns_over_5ms += after.over_5ms - before.over_5ms;
        return measured;
    }

    Subject& subject_;
    Visitor& one_;
    Visitor& other_;
    const Effort& effort_;
};

double ratio(const std::vector<double>& values, const std::vector<double>& to) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < values.size() && i < to.size(); ++i) {
        if (to[i] > 0) ratios.push_back(values[i] / to[i]);
    }
    return median(std::move(ratios));
}

std::string rounded(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    return text;
}

// Against its own idle time of the same round; the ratio that is told is that of the p99s.
void report(Section& section, const Trial& trial, const Trial& idle) {
    const bool itself = &trial == &idle;
    section.rows.push_back(row(trial.name, trial.samples, itself ? 0 : ratio(trial.p99s, idle.p99s), "p99 of idle"));
    if (itself) return;
    section.notes.push_back(trial.name + ": p50 " + rounded(ratio(trial.p50s, idle.p50s)) + " x of idle; the other did it " +
                            std::to_string(trial.times) + " times; of " + std::to_string(trial.turns) +
                            " turns of warderd's loop " + std::to_string(trial.turns_over_5ms) + " took longer than 5 ms");
}

Result<Section> measured(const std::string& title, Subject& subject, Visitor& one, Visitor& other, const Effort& effort) {
    Fairness fairness(subject, one, other, effort);
    for (std::size_t i = 0; i <= effort.rounds; ++i) {
        TRY(fairness.round());
        if (i == 0) fairness.forget();   // the first is to warm up
    }
    Section section{.title = title, .rows = {}, .notes = {}};
    for (const Trial* trial : {&fairness.idle, &fairness.flooding, &fairness.wide, &fairness.hanging, &fairness.computing}) {
        report(section, *trial, fairness.idle);
    }
    return section;
}

}  // namespace

Result<std::vector<Section>> fairness_sections(const Programs& programs, const Effort& effort) {
    const Scratch scratch = TRY(Scratch::create());
    const std::string directory = scratch.path() + "/silent";
    if (::mkdir(directory.c_str(), 0755) != 0) return failure("mkdir");
    const std::string workers = worker_config(scratch, programs, "one", "", 1) + worker_config(scratch, programs, "other", "", 1) +
                                "[worker.other.grants.silent]\nread = \"" + directory + "/\"\n";
    Subject subject = TRY(Subject::start(scratch, programs, workers, "request_timeout = \"100ms\"\n"));
    std::map<std::string, Visitor> visitors;
    while (visitors.size() < 2) {
        Visitor visitor = TRY(next_visitor(scratch, patience));
        std::string name = visitor.name;
        visitors.insert_or_assign(std::move(name), std::move(visitor));
    }
    // Only now: at load warderd looks at what it grants, and waits for it.
    const Silent silent = TRY(Silent::mount_at(directory));
    Visitor& one = visitors.at("one");
    Visitor& other = visitors.at("other");
    std::vector<Section> sections;
    subject.move(Place::one_cpu);
    move_to(Place::other_cpu, other.who.pid);
    sections.push_back(TRY(measured("An open beside a worker that misbehaves, on another CPU than it", subject, one, other, effort)));
    subject.move(Place::one_cpu);
    sections.push_back(TRY(measured("An open beside a worker that misbehaves, all on one CPU", subject, one, other, effort)));
    return sections;
}

}  // namespace warder::bench
