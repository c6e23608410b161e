#include "sandbox/rights.h"

namespace warder::sandbox {
namespace {

using namespace landlock;

constexpr std::uint64_t reading = read_file | read_dir;
// All that a worker may do in a directory of its own, but for devices and for running programs.
constexpr std::uint64_t owning = reading | write_file | truncate | remove_dir | remove_file | make_dir | make_reg |
                                 make_sock | make_fifo | make_sym | refer;
constexpr std::uint64_t using_devices = reading | write_file | ioctl_dev;

class Collector {
public:
    explicit Collector(const Handled& handled) { rights_.handled = handled; }
    void allow(const std::string& path, std::uint64_t rights, bool may_be_absent = false) {
        rights_.paths.push_back({path, rights & rights_.handled.files, may_be_absent});
    }
    Rights take() { return std::move(rights_); }

private:
    Rights rights_;
};

void allow_system(Collector& collector, const Plan& plan) {
    collector.allow("/usr", reading);
    for (const auto* path : {"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"}) collector.allow(path, reading, true);
    collector.allow("/etc", reading);
    collector.allow("/dev", using_devices);
    if (plan.private_tmp) collector.allow("/tmp", owning);
}

}  // namespace

Rights rights_of(const Plan& plan, const Chain& chain, int abi) {
    Handled handled = all_of(abi);
    if (plan.network == Network::host) handled.net = 0;
    Collector collector(handled);
    // The host's own tree is "untouched": there Landlock holds only network and scope.
    if (plan.root == Root::host || !plan.mount_namespace) collector.allow("/", handled.files);
    else allow_system(collector, plan);
    for (const auto& bind : plan.binds) {
        collector.allow(bind.target, (bind.writable ? owning : reading) | (bind.execute ? execute : 0));
    }
    for (const auto& file : plan.files) collector.allow(file.target, reading);
    // Links in the chain are followed, so the right falls on the file that is really run.
    for (const auto& file : chain.files) collector.allow(file, execute | read_file, true);
    return collector.take();
}

}  // namespace warder::sandbox
