#include "bench/measure.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/json.h"

namespace warder::bench {

double percentile(const Samples& samples, double share) {
    if (samples.empty()) return 0;
    Samples sorted = samples;
    const auto last = static_cast<double>(sorted.size() - 1);
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(std::lround(share * last));
    std::nth_element(sorted.begin(), at, sorted.end());
    return static_cast<double>(*at) / 1000.0;
}

std::uint32_t elapsed_since(Instant start) {
    const auto passed = (monotonic_now() - start).count();
    return static_cast<std::uint32_t>(std::min<std::int64_t>(passed, UINT32_MAX));
}

void move_to(Place place, int pid) {
    static const cpu_set_t every = [] {
        cpu_set_t set;
        CPU_ZERO(&set);
        sched_getaffinity(0, sizeof set, &set);
        return set;
    }();
    if (place == Place::any_cpu) {
        sched_setaffinity(pid, sizeof every, &every);
        return;
    }
    cpu_set_t last;
    CPU_ZERO(&last);
    const int step = place == Place::one_cpu ? -1 : 1;
    for (int cpu = step < 0 ? CPU_SETSIZE - 1 : 0; cpu >= 0 && cpu < CPU_SETSIZE; cpu += step) {
        if (!CPU_ISSET(cpu, &every)) continue;
        CPU_SET(cpu, &last);
        break;
    }
    sched_setaffinity(pid, sizeof last, &last);
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Row row(std::string name, const Samples& samples) {
    Row made;
    made.name = std::move(name);
    made.p50 = percentile(samples, 0.50);
    made.p99 = percentile(samples, 0.99);
    return made;
}

Row row(std::string name, const Samples& samples, double ratio, std::string against) {
    Row made = row(std::move(name), samples);
    made.ratio = ratio;
    made.against = std::move(against);
    return made;
}

namespace {

std::string formatted(double value) {
    char text[32];
    if (value == 0) return "";
    std::snprintf(text, sizeof text, value >= 10'000 ? "%.0f" : value >= 100 ? "%.1f" : "%.2f", value);
    return text;
}

std::string line_of(const Row& row) {
    char text[256];
    std::snprintf(text, sizeof text, "  %-58s %12s %12s %-6s", row.name.c_str(), formatted(row.p50).c_str(),
                  formatted(row.p99).c_str(), row.unit.c_str());
    std::string line = text;
    if (row.ratio > 0) {
        std::snprintf(text, sizeof text, " %6.3f x %s", row.ratio, row.against.c_str());
        line += text;
    }
    while (line.ends_with(' ')) line.pop_back();
    return line + "\n";
}

}  // namespace

std::string as_table(std::span<const Section> sections) {
    std::string table;
    for (const auto& section : sections) {
        char head[256];
        std::snprintf(head, sizeof head, "%-60s %12s %12s\n", section.title.c_str(), "p50", "p99");
        table += head;
        for (const auto& one : section.rows) table += line_of(one);
        for (const auto& note : section.notes) table += "  " + note + "\n";
        table += "\n";
    }
    return table;
}

std::string as_json(std::span<const Section> sections) {
    std::string text;
    JsonWriter json(text);
    json.begin_object().member("version", 1).key("sections").begin_array();
    for (const auto& section : sections) {
        json.begin_object().member("title", section.title).key("rows").begin_array();
        for (const auto& one : section.rows) {
            json.begin_object().member("name", one.name).member("p50", one.p50).member("p99", one.p99);
            json.member("unit", one.unit).member("ratio", one.ratio).member("against", one.against).end_object();
        }
        json.end_array().key("notes").begin_array();
        for (const auto& note : section.notes) json.string(note);
        json.end_array().end_object();
    }
    json.end_array().end_object();
    return text + "\n";
}

}  // namespace warder::bench
