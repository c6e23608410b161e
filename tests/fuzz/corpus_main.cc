// Runs a fuzz target without libFuzzer: over each file of the directories named, over every beginning of it, and over it
// with each byte changed in a few ways. Arguments that begin with '-' are libFuzzer's and are passed over. Whatever is
// wrong ends the process by itself: an abort, a sanitizer's report, a crash.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t largest_changed = 4096;   // bytes: of a larger file not every beginning is tried
constexpr std::array<std::uint8_t, 4> changes = {0x01, 0x20, 0x80, 0xff};

std::size_t runs = 0;

// On the heap and of exactly its size, so that a sanitizer sees a read past its end.
void run(const Input& input) {
    const Input exact(input);
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    ++runs;
}

void run_beginnings(const Input& input) {
    for (std::size_t size = 0; size < input.size(); ++size) {
        run(Input(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size)));
    }
}

void run_changed(Input input) {
    for (std::uint8_t& byte : input) {
        for (const std::uint8_t change : changes) {
            byte = static_cast<std::uint8_t>(byte ^ change);
            run(input);
            byte = static_cast<std::uint8_t>(byte ^ change);
        }
    }
}

void run_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const Input input{std::istreambuf_iterator<char>(file), {}};
    run(input);
    if (input.size() > largest_changed) return;
    run_beginnings(input);
    run_changed(input);
}

std::size_t run_directory(const std::string& directory) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) run_file(file);
    return files.size();
}

}  // namespace

int main(int count, char** arguments) {
    std::size_t files = 0;
    for (int i = 1; i < count; ++i) {
        if (arguments[i][0] != '-') files += run_directory(arguments[i]);
    }
    std::printf("%zu inputs from %zu files\n", runs, files);
    // A corpus that is not found must not pass.
    return files == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
