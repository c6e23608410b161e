// The protocol by hand, as docs/protocol.md has it: a grant's name in, a descriptor out. The program runs where nothing of a
// sanitizer can, so it links none of our own libraries.
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "attempt.h"

namespace attempts {
namespace {

constexpr std::uint16_t read_it = 1, write_it = 2, append_it = 3, listen_it = 5, connect_it = 6, secret_it = 7, device_it = 24;

template <typename Value>
void put(std::vector<char>& bytes, Value value) {
    const auto* raw = reinterpret_cast<const char*>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
}

void put_head(std::vector<char>& bytes, std::uint16_t type, std::uint32_t body, std::uint32_t strings) {
    put<std::uint16_t>(bytes, type);
    put<std::uint16_t>(bytes, 0);
    put<std::uint32_t>(bytes, 1);
    put<std::uint32_t>(bytes, body);
    put<std::uint32_t>(bytes, strings);
}

int receive(int broker) {
    static char bytes[65536];
    iovec data{bytes, sizeof bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(broker, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return -1;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

int ask(int broker, std::uint16_t operation, const std::string& grant) {
    std::vector<char> bytes;
    put_head(bytes, 2, 48, static_cast<std::uint32_t>(grant.size()));
    put<std::uint16_t>(bytes, 1);
    put<std::uint16_t>(bytes, 40);
    put<std::uint32_t>(bytes, 0);
    put<std::uint16_t>(bytes, operation);
    put<std::uint16_t>(bytes, 0);
    put<std::uint32_t>(bytes, 0);
    put<std::uint32_t>(bytes, 0);
    put<std::uint32_t>(bytes, static_cast<std::uint32_t>(grant.size()));
    for (int i = 0; i < 3; ++i) put<std::uint64_t>(bytes, 0);
    bytes.insert(bytes.end(), grant.begin(), grant.end());
    return ::send(broker, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 ? -1 : receive(broker);
}

}  // namespace

void take_descriptors(int socket, int (&lent)[lent_kinds]) {
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof lent)]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return;
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    while (head != nullptr && head->cmsg_type != SCM_RIGHTS) head = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(head));
    if (head != nullptr) std::memcpy(lent, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
}

void ask_for_descriptors(int broker, int (&lent)[lent_kinds], int& out) {
    std::vector<char> hello;
    put_head(hello, 1, 16, 0);
    put<std::uint32_t>(hello, 1);
    put<std::uint32_t>(hello, 1);
    put<std::uint64_t>(hello, 0);
    ::send(broker, hello.data(), hello.size(), MSG_NOSIGNAL);
    receive(broker);
    out = ask(broker, append_it, "out");
    lent[readable] = ask(broker, read_it, "readable");
    lent[appendable] = ask(broker, append_it, "appendable");
    lent[writable] = ask(broker, write_it, "writable");
    lent[secret] = ask(broker, secret_it, "secret");
    lent[terminal] = ask(broker, device_it, "terminal");
    lent[stream] = ask(broker, connect_it, "stream");
    lent[listener] = ask(broker, listen_it, "listener");
    lent[connected] = ask(broker, connect_it, "connected");
    lent[datagram] = ask(broker, connect_it, "datagram");
    lent[datagram6] = ask(broker, connect_it, "datagram6");
}

}  // namespace attempts
