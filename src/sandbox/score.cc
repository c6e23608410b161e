#include "sandbox/score.h"

#include <algorithm>

namespace warder::sandbox {
namespace {

constexpr Weight table[] = {
    {"uid", 15, "leave out user = \"root\": a number of its own is given"},
    {"seccomp denies", 14, "profile = \"strict\" or \"service\": a filter of its own"},
    {"effective capabilities", 12, "leave out capabilities: what needs them is asked for by a grant"},
    {"landlock", 9, "profile = \"strict\" or \"service\", on a kernel with Landlock"},
    {"network namespace", 9, "network = \"none\": addresses come by grants"},
    {"no_new_privs", 8, "profile = \"strict\" or \"service\""},
    {"mount namespace", 8, "root = \"system\""},
    {"bounding capabilities", 6, "leave out capabilities"},
    {"mount /", 6, "root = \"system\": nothing of the host but what is bound"},
    {"pid namespace", 6, "profile = \"strict\" or \"service\""},
    {"descriptors over exec", 5, "nothing: more than the listed ones were open, which is a fault of warderd"},
    {"securebits", 3, "nothing: warderd always sets them"},
    {"ipc namespace", 3, "profile = \"strict\" or \"service\""},
    {"cgroup", 3, "run warderd where it has a cgroup of its own (Delegate=yes)"},
    {"memory both writable and executable", 3, "memory_deny_write_execute = true, unless the program compiles at run time"},
    {"groups", 2, "leave out supplementary_groups"},
    {"user namespace", 2, "user_namespace = \"self\": what needs a right over the host is refused by the kernel once more"},
    {"core dumps", 2, "core_dumps = false: they hold what the program was lent"},
    {"uts namespace", 1, "profile = \"strict\" or \"service\""},
};

const ReceiptItem* find(const Receipt& receipt, std::string_view name) {
    const auto found = std::ranges::find(receipt.items, name, &ReceiptItem::name);
    return found == receipt.items.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Weight> weights() { return table; }

Score score_of(const Receipt& receipt) {
    Score score;
    for (const auto& weight : table) {
        const ReceiptItem* item = receipt.taken ? find(receipt, weight.item) : nullptr;
        const bool seen = item != nullptr && item->evidence != Evidence::none;
        const bool confined = seen && item->matches && item->confines;
        score.items.push_back({weight, confined, seen ? item->evidence : Evidence::none});
        score.total += weight.weight;
        if (!confined) score.open += weight.weight;
    }
    return score;
}

}  // namespace warder::sandbox
