// What every measurement needs: a clock, samples with their percentiles, a CPU to stay on, and the table that is printed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"

namespace warder::bench {

// Nanoseconds each, in no order.
using Samples = std::vector<std::uint32_t>;

// The value below which `share` (0 to 1) of the samples lie, in microseconds; 0 for no samples.
double percentile(const Samples& samples, double share);

std::uint32_t elapsed_since(Instant start);

// Where a process may run. One CPU for both sides shows the code; every CPU shows the machine's wake-ups as well.
// The other CPU is for who is to compete for neither; with one CPU alone it is the same.
enum class Place { one_cpu, any_cpu, other_cpu };
void move_to(Place place, int pid = 0);

// One line of the report. Times are in the unit that is named; a ratio of 0 is not printed.
struct Row {
    std::string name;
    double p50 = 0;
    double p99 = 0;
    std::string unit = "us";
    double ratio = 0;
    std::string against;   // what the ratio is to
};

struct Section {
    std::string title;
    std::vector<Row> rows;
    std::vector<std::string> notes;
};

Row row(std::string name, const Samples& samples);
Row row(std::string name, const Samples& samples, double ratio, std::string against);

std::string as_table(std::span<const Section> sections);
std::string as_json(std::span<const Section> sections);

double median(std::vector<double> values);

}  // namespace warder::bench
