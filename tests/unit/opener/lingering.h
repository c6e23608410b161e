// Something whose close waits.
#pragma once

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "sys/fd.h"

namespace warder::test {

// A TCP socket whose close waits `seconds`, since its peer reads nothing of what lies in it.
struct Lingering {
    Fd listener;
    Fd peer;
    Fd socket;

    explicit Lingering(int seconds) {
        listener = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const int small = 4096;
        ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const raw = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(listener.get(), raw, size) == 0);
        REQUIRE(::listen(listener.get(), 1) == 0);
        REQUIRE(::getsockname(listener.get(), raw, &size) == 0);
        socket = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::connect(socket.get(), raw, size) == 0);
        peer = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const linger wait{1, seconds};
        REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait) == 0);
        const std::vector<char> much(1 << 20);
        while (::send(socket.get(), much.data(), much.size(), MSG_DONTWAIT) > 0) {}
    }
};

}  // namespace warder::test
