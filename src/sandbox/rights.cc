#include "sandbox/rights.h"

namespace warder::sandbox {
namespace {

using namespace landlock;

constexpr std::uint64_t reading = read_file | read_dir | resolve_unix;
// All that a worker may do in a directory of its own, but for devices and for running programs.
constexpr std::uint64_t owning = reading | write_file | truncate | remove_dir | remove_file | make_dir | make_reg |
                                 make_sock | make_fifo | make_sym | refer;
constexpr std::uint64_t using_devices = reading | write_file | ioctl_dev;

class Collector {
public:
    explicit Collector(const Handled& handled) { rights_.handled = handled; }
    void allow(const std::string& path, std::uint64_t rights, bool may_be_absent = false, FoundBy found = FoundBy::sandbox) {
        rights_.paths.push_back({path, rights & rights_.handled.files, may_be_absent, found});
    }
    Rights take() { return std::move(rights_); }

private:
    Rights rights_;
};

void allow_system(Collector& collector, const Plan& plan) {
    collector.allow("/usr", reading, plan.root == Root::minimal);
    for (const auto* path : {"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"}) collector.allow(path, reading, true);
    collector.allow("/etc", reading);
    collector.allow("/dev", using_devices);
    if (plan.private_tmp) collector.allow("/tmp", owning);
    if (plan.proc != ProcView::hidden) collector.allow("/proc", reading);
    if (!plan.secret_files.empty()) collector.allow(secrets_directory, reading);
    for (const auto& one : plan.memory_directories) collector.allow(one.target, owning | (one.no_execute ? 0 : execute));
    for (const auto& one : plan.overlays) collector.allow(one.target, owning | (one.no_execute ? 0 : execute), false, FoundBy::others);
}

// In a network of its own nothing is allowed; elsewhere only what the plan restricts is asked about.
std::uint64_t handled_of_net(const Plan& plan, std::uint64_t known) {
    if (plan.network == Network::none) return known;
    const bool connects = plan.tcp_connect.restricted || connects_beside_listeners(plan.calls);
    return known & ((plan.tcp_bind.restricted ? bind_tcp : 0) | (connects ? connect_tcp : 0));
}

// Programs with threads break where threads of one process cannot signal each other. A pid namespace of its own keeps it from all
// others' processes as well; without one the scope stays.
std::uint64_t scopes_of(const Plan& plan, std::uint64_t known, unsigned errata) {
    const bool breaks_threads = (errata & signals_of_threads) == 0;
    return known & ((plan.scope_signals && !(breaks_threads && plan.pid_namespace) ? scope_signal : 0) | (plan.scope_abstract_sockets ? scope_abstract_unix_socket : 0));
}

// A rule holds a port and no address, in whatever network a socket lives; lent ones live in the host's.
void allow_ports(Rights& rights, const Ports& ports, std::uint64_t right) {
    if ((rights.handled.net & right) == 0) return;
    for (const auto port : ports.allowed) rights.ports.push_back({port, right});
}

}  // namespace

Rights rights_of(const Plan& plan, const Chain& chain, int abi, unsigned errata) {
    Handled handled = all_of(abi);
    handled.net = handled_of_net(plan, handled.net);
    handled.scoped = scopes_of(plan, handled.scoped, errata);
    Collector collector(handled);
    // The host's own tree is "untouched": there Landlock holds only network and scope.
    if (!plan.mount_namespace) collector.allow("/", handled.files);
    else allow_system(collector, plan);
    for (const auto& bind : plan.binds) {
        collector.allow(bind.target, (bind.writable ? owning : reading) | (bind.execute ? execute : 0), false, FoundBy::others);
    }
    for (const auto& file : plan.files) collector.allow(file.target, reading);
    // Links in the chain are followed, so the right falls on the file that is really run.
    for (const auto& file : chain.files) collector.allow(file, execute | read_file, true, FoundBy::program);
    for (const auto& file : chain.libraries) collector.allow(file, read_file, true, FoundBy::program);
    Rights rights = collector.take();
    allow_ports(rights, plan.tcp_bind, bind_tcp);
    allow_ports(rights, plan.tcp_connect, connect_tcp);
    return rights;
}

}  // namespace warder::sandbox
