// Composes its asks itself: libwarder waits for each answer, and would be no flood.
#include "bench/flood.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/operation.h"
#include "protocol/message.h"

namespace warder::bench {
namespace {

namespace wire = protocol::wire;

constexpr char flood_strings[] = "sitepage.html";

// One ask for the page, `width` times, as it goes over the socket.
std::vector<char> flood_of(std::uint32_t width) {
    const std::uint32_t body = sizeof(wire::Items) + width * static_cast<std::uint32_t>(sizeof(wire::Request));
    protocol::Header header{};
    header.type = static_cast<std::uint16_t>(protocol::Type::ask);
    header.id = 0x7fff'ffff;
    header.body_size = body;
    header.strings_size = sizeof flood_strings - 1;
    const wire::Items items{static_cast<std::uint16_t>(width), sizeof(wire::Request), 0};
    wire::Request request{};
    request.operation = static_cast<std::uint16_t>(Operation::read);
    request.grant = {0, 4};
    request.target = {4, 9};
    std::vector<char> bytes;
    const auto add = [&](const void* from, std::size_t size) {
        bytes.insert(bytes.end(), static_cast<const char*>(from), static_cast<const char*>(from) + size);
    };
    add(&header, sizeof header);
    add(&items, sizeof items);
    for (std::uint32_t i = 0; i < width; ++i) add(&request, sizeof request);
    add(flood_strings, header.strings_size);
    return bytes;
}

// Reads one answer and closes what it lent. False: there was none.
bool take_answer(int channel) {
    alignas(cmsghdr) static char control[CMSG_SPACE(sizeof(int) * protocol::max_requests)];
    static char text[65536];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) return false;
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    const std::size_t count = head == nullptr ? 0 : (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(head) + i * sizeof number, sizeof number);
        close(number);
    }
    return true;
}

bool told_to_stop(int socket) {
    char word = 0;
    return recv(socket, &word, sizeof word, MSG_DONTWAIT) >= 0;
}

}  // namespace

// As many asks under way as the socket takes, always. Every answer is read in the end: libwarder goes on from there.
std::uint32_t flood(int channel, int socket, std::uint32_t width) {
    const std::vector<char> ask = flood_of(width);
    std::uint32_t sent = 0;
    std::uint32_t answered = 0;
    for (bool stopping = false; !stopping || answered < sent; stopping = stopping || told_to_stop(socket)) {
        while (!stopping && send(channel, ask.data(), ask.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) ++sent;
        while (take_answer(channel)) ++answered;
        pollfd wanted[] = {{channel, static_cast<short>(stopping ? POLLIN : POLLIN | POLLOUT), 0}, {socket, POLLIN, 0}};
        poll(wanted, stopping ? 1 : 2, 1000);
    }
    return answered;
}

}  // namespace warder::bench
