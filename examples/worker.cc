// The smallest worker in C++: reads the file of its grant `greeting` once a second until it is told to stop.
//
//     [worker.greeter.grants]
//     greeting = { read = "/etc/greeting" }
#include <unistd.h>

#include <iostream>
#include <warder/warder.hpp>

int main() {
    auto parent = warder::Connection::from_environment();
    parent.ready("greeting");
    for (;;) {
        const auto event = parent.next_event(std::chrono::seconds(1));
        if (event && event->type == warder::Event::Type::stop) return 0;
        const auto file = parent.try_open("greeting");
        char text[256];
        const ssize_t size = file ? ::read(file->get(), text, sizeof text) : -1;
        if (!file) std::cerr << warder_why() << '\n';
        if (size > 0) std::cout.write(text, size).flush();
    }
}
