/* The C ABI, from a file compiled as C11 with every warning an error, against a peer that speaks the protocol. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"
#include "warder/warder.h"

static int failures;
static int checks;

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        ++checks;                                                                             \
        if (!(condition)) {                                                                   \
            ++failures;                                                                       \
            printf("%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition);      \
        }                                                                                     \
    } while (0)

#define CHECK_FAILS(call, wanted)                                                             \
    do {                                                                                      \
        errno = 0;                                                                            \
        const int result_ = (call);                                                           \
        const int number_ = errno;                                                            \
        ++checks;                                                                             \
        if (result_ != -1 || number_ != (wanted)) {                                           \
            ++failures;                                                                       \
            printf("%s:%d: %s: %s gave %d, errno %s, not %s (%s)\n", __FILE__, __LINE__, __func__, #call, result_, \
                   strerrorname_np(number_), strerrorname_np(wanted), warder_why());          \
        }                                                                                     \
    } while (0)

static int open_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory) != NULL) ++count;
    closedir(directory);
    return count;
}

/* The peer is a thread of this process and closes what it sent in its own time. */
static int fds_return_to(int wanted) {
    for (int i = 0; i < 200 && open_fds() != wanted; ++i) usleep(5000);
    return open_fds() == wanted;
}

static int holds(int fd, const char *text) {
    char buffer[256];
    const ssize_t size = pread(fd, buffer, sizeof buffer, 0);
    return size == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)size) == 0;
}

static int close_on_exec(int fd) { return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

static int child_status(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static void nap(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static warder_connection *connect_to(enum peer_mode mode, peer **other) {
    int end = -1;
    *other = peer_start(mode, &end);
    warder_connection *connection = warder_connect_fd(end);
    if (connection == NULL) close(end);
    return connection;
}

static void a_connection_comes_and_goes(void) {
    peer *other;
    warder_connection *connection = connect_to(PEER_MAIN, &other);
    CHECK(connection != NULL);
    CHECK(strcmp(warder_worker(connection), "tester") == 0);
    errno = 77;
    warder_close(connection);
    CHECK(errno == 77);
    warder_close(NULL);
    peer_end(other);
}

static void the_environment_names_the_socket(void) {
    unsetenv(WARDER_SOCKET_VARIABLE);
    errno = 0;
    CHECK(warder_connect() == NULL && errno == ENOENT);
    setenv(WARDER_SOCKET_VARIABLE, "3x", 1);
    CHECK(warder_connect() == NULL && errno == EINVAL);
    setenv(WARDER_SOCKET_VARIABLE, "-1", 1);
    CHECK(warder_connect() == NULL && errno == EINVAL);
    setenv(WARDER_SOCKET_VARIABLE, "999", 1);
    CHECK(warder_connect() == NULL && errno == EBADF);
    setenv(WARDER_SOCKET_VARIABLE, "0", 1);
    CHECK(warder_connect() == NULL && errno != 0);

    int end;
    char text[16];
    peer *other = peer_start(PEER_MAIN, &end);
    snprintf(text, sizeof text, "%d", end);
    setenv(WARDER_SOCKET_VARIABLE, text, 1);
    fcntl(end, F_SETFD, 0);
    warder_connection *first = warder_connect();
    warder_connection *second = warder_connect();
    CHECK(first != NULL && first == second);
    CHECK(close_on_exec(end));
    warder_close(first);
    CHECK(warder_ready(second, "still there") == 0);
    warder_close(second);
    CHECK(warder_connect() == NULL && errno == EBADF);
    peer_end(other);
}

static void a_failed_connect_leaves_the_descriptor_to_the_caller(void) {
    static const struct {
        enum peer_mode mode;
        int number;
    } cases[] = {{PEER_NO_VERSION, EPROTONOSUPPORT}, {PEER_REFUSES, EPERM},         {PEER_OTHER_VERSION, EPROTO},
                 {PEER_GARBAGE, EPROTO},             {PEER_SILENT_CLOSE, ECONNRESET}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        int end;
        peer *other = peer_start(cases[i].mode, &end);
        errno = 0;
        CHECK(warder_connect_fd(end) == NULL);
        CHECK(errno == cases[i].number);
        CHECK(close(end) == 0);
        peer_end(other);
    }
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(warder_connect_fd(pair[0]) == NULL && errno == EPROTOTYPE);
    close(pair[0]);
    close(pair[1]);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(warder_connect_fd(null) == NULL && errno == ENOTSOCK);
    close(null);
}

static void descriptors_are_the_callers_and_close_on_exec(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    int fd = warder_open(w, "echo", "css/site.css", O_RDONLY, 0);
    CHECK(fd >= 0 && holds(fd, "css/site.css") && close_on_exec(fd));
    close(fd);
    fd = warder_secret(w, "echo");
    CHECK(fd >= 0 && close_on_exec(fd));
    close(fd);
    fd = warder_listen(w, "echo", NULL, WARDER_NONBLOCK);
    CHECK(fd >= 0 && close_on_exec(fd));
    close(fd);
    fd = warder_dial(w, "echo", "tcp:127.0.0.1:1", 0);
    CHECK(fd >= 0 && holds(fd, "tcp:127.0.0.1:1"));
    close(fd);
    CHECK(warder_rename(w, "echo", "a", "b") == 0);
    CHECK(warder_unlink(w, "echo", "a") == 0);
    CHECK(warder_ready(w, NULL) == 0);
    CHECK(warder_status(w, "well") == 0);
    warder_close(w);
    peer_end(other);
}

static void a_denial_has_errno_reason_and_sentence(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK_FAILS(warder_open(w, "denied", "x", O_RDONLY, 0), EACCES);
    CHECK(strcmp(warder_why(), "worker tester has no grant that covers this") == 0);
    CHECK(warder_last_reason() == WARDER_REASON_NOT_GRANTED);
    CHECK(strcmp(warder_reason_name(WARDER_REASON_NOT_GRANTED), "not-granted") == 0);
    CHECK(strcmp(warder_reason_name(-1), "unknown") == 0);
    CHECK(strcmp(warder_reason_name(70000), "unknown") == 0);
    CHECK_FAILS(warder_open(w, "absent", "x", O_RDONLY, 0), ENOENT);
    CHECK(strcmp(warder_why(), "read absent x: No such file or directory") == 0);
    CHECK(warder_last_reason() == WARDER_REASON_SYSTEM);
    CHECK_FAILS(warder_open(w, "done", "x", O_RDONLY, 0), EDQUOT);
    CHECK(strcmp(warder_why(), "over the quota of requests") == 0);
    CHECK(warder_last_reason() == WARDER_REASON_TOO_MANY);
    CHECK_FAILS(warder_status(w, "refuse"), EDQUOT);
    CHECK(strcmp(warder_why(), "too many words") == 0);
    warder_close(w);
    peer_end(other);
}

static void nonsense_is_refused_before_it_is_sent(void) {
    static const int bad_flags[] = {O_RDONLY | O_TRUNC,  O_RDONLY | O_CREAT,  O_RDONLY | O_APPEND,           O_RDWR | O_APPEND,
                                    O_WRONLY | O_EXCL,   O_ACCMODE,           O_WRONLY | O_APPEND | O_CREAT, O_PATH,
                                    O_DIRECTORY,         O_WRONLY | O_SYNC,   O_WRONLY | O_APPEND | O_TRUNC, O_RDWR | O_TMPFILE};
    static char long_path[5000];
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    for (size_t i = 0; i < sizeof bad_flags / sizeof bad_flags[0]; ++i) {
        CHECK_FAILS(warder_open(w, "echo", "x", bad_flags[i], 0600), EINVAL);
    }
    memset(long_path, 'a', sizeof long_path - 1);
    CHECK_FAILS(warder_open(w, "echo", long_path, O_RDONLY, 0), ENAMETOOLONG);
    CHECK_FAILS(warder_open(w, NULL, NULL, O_RDONLY, 0), EINVAL);
    CHECK_FAILS(warder_open(NULL, "echo", "x", O_RDONLY, 0), EINVAL);
    CHECK_FAILS(warder_open_path(w, NULL, O_RDONLY, 0), EINVAL);
    CHECK_FAILS(warder_listen(w, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(warder_listen(w, "echo", NULL, 1), EINVAL);
    CHECK_FAILS(warder_secret(w, NULL), EINVAL);
    CHECK_FAILS(warder_rename(w, "echo", "a", NULL), EINVAL);
    CHECK_FAILS(warder_unlink(w, NULL, NULL), EINVAL);
    CHECK_FAILS(warder_status(w, long_path), EMSGSIZE);
    CHECK(peer_messages(other) == 1);
    warder_close(w);
    peer_end(other);
}

static void many_requests_in_one_message(void) {
    enum { count = WARDER_MAX_REQUESTS };
    static warder_request requests[count + 1];
    static warder_result results[count + 1];
    static char names[count][32];
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    for (int i = 0; i < count; ++i) {
        snprintf(names[i], sizeof names[i], "file-%d", i);
        requests[i] = (warder_request){.operation = WARDER_READ, .grant = i % 10 == 3 ? "denied" : "echo", .target = names[i]};
    }
    const unsigned long before = peer_messages(other);
    CHECK(warder_open_many(w, requests, results, count) == count - 25);
    CHECK(peer_messages(other) == before + 1);
    for (int i = 0; i < count; ++i) {
        if (i % 10 == 3) {
            CHECK(results[i].fd == -1 && results[i].error == EACCES && results[i].reason == WARDER_REASON_NOT_GRANTED);
            CHECK(strcmp(results[i].why, "a denial of one among many") == 0 && results[i].grant == 0xffffffff);
        } else {
            CHECK(results[i].error == 0 && holds(results[i].fd, names[i]) && close_on_exec(results[i].fd));
            close(results[i].fd);
        }
    }
    CHECK_FAILS(warder_open_many(w, requests, results, 0), EINVAL);
    CHECK_FAILS(warder_open_many(w, requests, results, count + 1), EINVAL);
    static char large[40000];
    memset(large, 'a', sizeof large - 1);
    requests[0].target = requests[1].target = large;
    CHECK_FAILS(warder_open_many(w, requests, results, 2), EMSGSIZE);
    warder_close(w);
    peer_end(other);
}

/* What breaks the protocol ends this connection with EPROTO, and nothing that came along stays open. */
static void a_broken_answer_is_eproto(void) {
    static const char *const ways[] = {"empty",   "short",         "lengths",  "flags",      "type",     "count",        "no-fd",
                                       "two-fds", "fd-with-error", "negative", "huge-error", "done-ok",  "text-outside", "two-announced",
                                       "none-announced", "bad-event", "event-two-fds", "event-no-fd"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; ++i) {
        const int before = open_fds();
        peer *other;
        warder_connection *w = connect_to(PEER_MAIN, &other);
        CHECK_FAILS(warder_open(w, ways[i], "x", O_RDONLY, 0), EPROTO);
        if (errno != EPROTO) printf("  way: %s\n", ways[i]);
        CHECK_FAILS(warder_open(w, "echo", "x", O_RDONLY, 0), EPROTO);
        warder_event event;
        CHECK_FAILS(warder_next_event(w, &event, 0), EPROTO);
        warder_close(w);
        peer_end(other);
        CHECK(fds_return_to(before));
    }
}

static void a_late_reply_to_somebody_else_is_dropped(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const int before = open_fds();
    for (int i = 0; i < 10; ++i) {
        const int fd = warder_open(w, "stale", "mine", O_RDONLY, 0);
        CHECK(fd >= 0 && holds(fd, "mine"));
        close(fd);
    }
    CHECK(fds_return_to(before));
    warder_close(w);
    peer_end(other);
}

static int readable(int fd) {
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, 0) == 1;
}

static void events_wait_until_they_are_asked_for(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    warder_event event;
    const int to_poll = warder_fd(w);
    CHECK(to_poll >= 0 && warder_fd(w) == to_poll && close_on_exec(to_poll));
    CHECK(!readable(to_poll));
    CHECK(warder_next_event(w, &event, 0) == 0);
    close(warder_open(w, "events", "x", O_RDONLY, 0));
    CHECK(readable(to_poll));
    CHECK(warder_next_event(w, &event, 0) == 1);
    CHECK(event.type == WARDER_EVENT_STOP && event.fd == -1 && event.name[0] == '\0');
    CHECK(readable(to_poll));
    CHECK(warder_next_event(w, &event, -1) == 1);
    CHECK(event.type == WARDER_EVENT_SECRET && holds(event.fd, "key") && close_on_exec(event.fd));
    CHECK(strcmp(event.name, "key") == 0 && event.value == 7 && event.lost == 0);
    close(event.fd);
    CHECK(warder_next_event(w, &event, 20) == 0);
    CHECK(!readable(to_poll));
    peer_send_event(other, 0x4003, "parser", 2, 1);
    CHECK(warder_next_event(w, &event, 5000) == 1 && event.type == WARDER_EVENT_CHANNEL);
    close(event.fd);
    peer_send_event(other, 0x4002, "", 0, 0);
    peer_send_event(other, 0x4002, "", 0, 0);
    peer_send_event(other, 0x4005, "db", 0, 0);
    nap(20);
    CHECK(warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_RELOAD);
    CHECK(warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_REVOKED && strcmp(event.name, "db") == 0);
    CHECK(warder_next_event(w, &event, 0) == 0);
    warder_close(w);
    peer_end(other);
}

static void events_beyond_the_queue_are_counted(void) {
    const int before = open_fds();
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    peer_send_event(other, 0x4001, "", 0, 0);
    for (unsigned i = 0; i < 40; ++i) peer_send_event(other, 0x4004, "key", i, 1);
    close(warder_open(w, "echo", "x", O_RDONLY, 0));
    warder_event event;
    CHECK(warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_STOP);
    CHECK(warder_next_event(w, &event, 0) == 1 && event.lost == 8 && event.value == 8);
    close(event.fd);
    for (unsigned i = 9; i < 39; ++i) {
        CHECK(warder_next_event(w, &event, 0) == 1 && event.lost == 0 && event.value == i);
        close(event.fd);
    }
    warder_close(w);   /* one is still queued, with its descriptor */
    peer_end(other);
    CHECK(fds_return_to(before));
}

static void an_event_may_come_before_the_hello_is_answered(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_EVENT_FIRST, &other);
    warder_event event;
    CHECK(w != NULL && warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_STOP);
    warder_close(w);
    peer_end(other);
}

static void the_end_of_the_session_is_econnreset(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const int to_poll = warder_fd(w);
    CHECK_FAILS(warder_open(w, "close", "x", O_RDONLY, 0), ECONNRESET);
    CHECK_FAILS(warder_open(w, "echo", "x", O_RDONLY, 0), ECONNRESET);
    CHECK(readable(to_poll));
    warder_event event;
    CHECK_FAILS(warder_next_event(w, &event, -1), ECONNRESET);
    warder_close(w);
    peer_end(other);

    w = connect_to(PEER_MAIN, &other);
    peer_send_event(other, 0x4001, "", 0, 0);
    peer_end(other);
    CHECK(warder_next_event(w, &event, -1) == 1 && event.type == WARDER_EVENT_STOP);
    CHECK_FAILS(warder_next_event(w, &event, -1), ECONNRESET);
    warder_close(w);
}

/* In a process of its own, since the peer needs descriptors too. */
static int ask_without_room(int end) {
    static warder_request requests[3];
    static warder_result results[3];
    warder_connection *w = warder_connect_fd(end);
    const int free_number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(free_number);
    const struct rlimit tight = {(rlim_t)free_number + 1, (rlim_t)free_number + 1};
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (int i = 0; i < 3; ++i) requests[i] = (warder_request){.operation = WARDER_READ, .grant = "echo", .target = "x"};
    CHECK(warder_open_many(w, requests, results, 3) == 1);
    CHECK(results[0].error == 0 && results[1].error == EMFILE && results[2].error == EMFILE);
    CHECK(results[1].fd == -1 && results[1].why[0] != '\0');
    CHECK_FAILS(warder_open(w, "echo", "x", O_RDONLY, 0), EMFILE);
    close(results[0].fd);
    CHECK(warder_open(w, "echo", "x", O_RDONLY, 0) == free_number);
    warder_close(w);
    return failures;
}

static void no_room_for_a_descriptor_is_emfile(void) {
    int end;
    peer *other = peer_start(PEER_MAIN, &end);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        const int failed = ask_without_room(end);
        fflush(stdout);
        _exit(failed);
    }
    close(end);
    CHECK(child_status(child) == 0);
    peer_end(other);
}

enum { threads = 8, rounds = 1000 };

struct job {
    warder_connection *connection;
    const char *who;
    int rounds;
    int wrong;
};

static void *ask_again_and_again(void *argument) {
    struct job *job = argument;
    char name[64];
    for (int i = 0; i < job->rounds; ++i) {
        snprintf(name, sizeof name, "%s-%d", job->who, i);
        if (i % 16 == 5) {
            job->wrong += warder_open(job->connection, "denied", name, O_RDONLY, 0) != -1 || errno != EACCES;
            continue;
        }
        const int fd = warder_open(job->connection, "echo", name, O_RDONLY, 0);
        job->wrong += fd < 0 || !holds(fd, name);
        if (fd >= 0) close(fd);
    }
    return NULL;
}

static void *take_events(void *argument) {
    struct job *job = argument;
    for (int seen = 0; seen < job->rounds && job->wrong == 0;) {
        warder_event event;
        if (warder_next_event(job->connection, &event, 10000) != 1) {
            ++job->wrong;
            continue;
        }
        seen += 1 + (int)event.lost;
        close(event.fd);
    }
    return NULL;
}

static void threads_share_one_connection(void) {
    static const char *const names[threads] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct job jobs[threads + 1];
    pthread_t ids[threads + 1];
    const int before = open_fds();
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    for (int i = 0; i < threads; ++i) {
        jobs[i] = (struct job){w, names[i], rounds, 0};
        pthread_create(&ids[i], NULL, ask_again_and_again, &jobs[i]);
    }
    jobs[threads] = (struct job){w, "events", 200, 0};
    pthread_create(&ids[threads], NULL, take_events, &jobs[threads]);
    for (int i = 0; i < 200; ++i) {
        peer_send_event(other, 0x4004, "key", (unsigned long)i, 1);
        nap(1);
    }
    for (int i = 0; i <= threads; ++i) {
        pthread_join(ids[i], NULL);
        CHECK(jobs[i].wrong == 0);
    }
    warder_close(w);
    peer_end(other);
    CHECK(fds_return_to(before));
}

static void a_forked_child_under_main_touches_nothing(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const int to_poll = warder_fd(w);
    close(warder_open(w, "echo", "x", O_RDONLY, 0));
    const unsigned long before = peer_messages(other);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        warder_event event;
        CHECK_FAILS(warder_open(w, "echo", "x", O_RDONLY, 0), EPERM);
        CHECK(warder_last_reason() == WARDER_REASON_NOT_REQUESTER && warder_why()[0] != '\0');
        CHECK_FAILS(warder_ready(w, "no"), EPERM);
        CHECK_FAILS(warder_next_event(w, &event, -1), EPERM);
        CHECK_FAILS(warder_fd(w), EPERM);
        warder_close(w);
        fflush(stdout);
        _exit(failures);
    }
    CHECK(child_status(child) == 0);
    CHECK(peer_messages(other) == before);
    const int fd = warder_open(w, "echo", "mine", O_RDONLY, 0);
    CHECK(fd >= 0 && holds(fd, "mine"));
    close(fd);
    CHECK(warder_fd(w) == to_poll);
    warder_close(w);
    peer_end(other);
}

static pid_t fork_asker(warder_connection *w, const char *who) {
    const pid_t child = fork();
    if (child != 0) return child;
    struct job job = {w, who, 400, 0};
    const int before = open_fds();
    ask_again_and_again(&job);
    _exit(job.wrong == 0 && open_fds() == before ? 0 : 1);
}

static void processes_under_group_share_the_socket(void) {
    static const char *const names[] = {"p1", "p2", "p3", "p4", "p5"};
    pid_t children[5];
    pthread_t thread;
    peer *other;
    warder_connection *w = connect_to(PEER_GROUP, &other);
    fflush(stdout);
    struct job job = {w, "parent", 400, 0};
    pthread_create(&thread, NULL, ask_again_and_again, &job);   /* forks happen while this one holds its turn */
    for (int i = 0; i < 5; ++i) children[i] = fork_asker(w, names[i]);
    for (int i = 0; i < 5; ++i) CHECK(child_status(children[i]) == 0);
    pthread_join(thread, NULL);
    CHECK(job.wrong == 0);
    warder_close(w);
    peer_end(other);
}

static void a_holder_of_the_turn_that_dies_stops_nobody(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_GROUP, &other);
    fflush(stdout);
    for (int i = 0; i < 5; ++i) {
        const unsigned long before = peer_messages(other);
        const pid_t child = fork();
        if (child == 0) {
            warder_open(w, "slow", "of the dead", O_RDONLY, 0);
            _exit(0);
        }
        while (peer_messages(other) == before) nap(1);
        kill(child, SIGKILL);   /* it waits for its reply, with the lock */
        child_status(child);
        const int fd = warder_open(w, "echo", "of the living", O_RDONLY, 0);
        CHECK(fd >= 0 && holds(fd, "of the living"));
        close(fd);
    }
    warder_close(w);
    peer_end(other);
}

static void stop_reaches_the_process_that_connected(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_GROUP, &other);
    const int to_poll = warder_fd(w);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        warder_event event;
        close(warder_open(w, "events", "x", O_RDONLY, 0));   /* reads the secret and the stop */
        const int own = warder_fd(w);
        const int ok = readable(own) && warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_SECRET &&
                       warder_next_event(w, &event, 0) == 0 && !readable(own);
        _exit(ok ? 0 : 1);
    }
    CHECK(child_status(child) == 0);
    warder_event event;
    CHECK(readable(to_poll));
    CHECK(warder_next_event(w, &event, 1000) == 1 && event.type == WARDER_EVENT_STOP);
    CHECK(warder_next_event(w, &event, 0) == 0);
    CHECK(!readable(to_poll));
    warder_close(w);
    peer_end(other);
}

static void on_alarm(int number) { (void)number; }

static void signals_interrupt_nothing(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;   /* no SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    fflush(stdout);
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 200; ++i) {
            kill(self, SIGUSR1);
            nap(1);
        }
        _exit(0);
    }
    for (int i = 0; i < 2; ++i) {
        const int fd = warder_open(w, "slow", "x", O_RDONLY, 0);
        CHECK(fd >= 0 && holds(fd, "x"));
        close(fd);
    }
    warder_event event;
    CHECK(warder_next_event(w, &event, 50) == 0);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    warder_close(w);
    peer_end(other);
}

/* Whether the last request that the peer got says this. */
static int asked(peer *other, const char *wanted) {
    char text[8192];
    peer_last_request(other, text, sizeof text);
    if (strcmp(text, wanted) == 0) return 1;
    printf("  asked: %s, not %s\n", text, wanted);
    return 0;
}

/* The descriptor is there, close-on-exec, of that request. */
static int lent(peer *other, int fd, const char *wanted) {
    const int good = fd >= 0 && close_on_exec(fd) && holds(fd, wanted) && asked(other, wanted);
    if (fd >= 0) close(fd);
    return good;
}

static void paths_have_their_requests(void) {
    char text[64];
    warder_file file;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_stat(w, "said", "a/b", &file) == 0 && asked(other, "10 0 0 0 said|a/b|"));
    CHECK(file.device == 1 && file.inode == 2 && file.mode == 0100640 && file.links == 3 && file.uid == 4 && file.gid == 5);
    CHECK(file.size == 6 && file.blocks == 7 && file.modified == -8 && file.changed == 9);
    CHECK(file.modified_ns == 10 && file.changed_ns == 11 && file.reserved[0] == 0);
    CHECK(warder_stat(w, "said", NULL, &file) == 0 && asked(other, "10 0 0 0 said||"));
    CHECK(warder_access(w, "said", "a", R_OK | W_OK) == 0 && asked(other, "11 0 6 0 said|a|"));
    CHECK(warder_readlink(w, "said", "a", text, sizeof text) == 16 && strcmp(text, "12 0 0 0 said|a|") == 0);
    CHECK(warder_mkdir(w, "said", "a", 0750) == 0 && asked(other, "14 0 488 0 said|a|"));
    CHECK(warder_rmdir(w, "said", "a") == 0 && asked(other, "15 0 0 0 said|a|"));
    CHECK(warder_link(w, "said", "a", "b") == 0 && asked(other, "16 0 0 0 said|a|b"));
    CHECK(warder_symlink(w, "said", "a", "to/b") == 0 && asked(other, "17 0 0 0 said|a|to/b"));
    CHECK(warder_chmod(w, "said", "a", 0644) == 0 && asked(other, "18 0 420 0 said|a|"));
    CHECK(warder_truncate(w, "said", "a", 1ULL << 40) == 0 && asked(other, "19 0 0 1099511627776 said|a|"));
    CHECK(lent(other, warder_watch(w, "said", "a", 0x300, WARDER_NONBLOCK), "20 8 0 768 said|a|"));
    CHECK(lent(other, warder_list(w, "said", NULL), "13 0 0 0 said||"));
    CHECK_FAILS(warder_stat(w, "denied", "a", &file), EACCES);
    CHECK_FAILS(warder_access(w, "absent", "a", R_OK), ENOENT);
    CHECK_FAILS(warder_list(w, "denied", "a"), EACCES);
    warder_close(w);
    peer_end(other);
}

static void a_list_is_walked(void) {
    char bytes[64];
    size_t offset = 0;
    warder_entry entry;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const int fd = warder_list(w, "list", NULL);
    const ssize_t size = pread(fd, bytes, sizeof bytes, 0);
    close(fd);
    CHECK(size == 15);
    CHECK(warder_next_entry(bytes, 15, &offset, &entry) == 1 && entry.type == 'f' && strcmp(entry.name, "a.txt") == 0);
    CHECK(entry.length == 5);
    CHECK(warder_next_entry(bytes, 15, &offset, &entry) == 1 && entry.type == 'd' && strcmp(entry.name, "sub") == 0);
    CHECK(warder_next_entry(bytes, 15, &offset, &entry) == 1 && entry.type == 'l' && strcmp(entry.name, "\xff") == 0);
    CHECK(warder_next_entry(bytes, 15, &offset, &entry) == 0 && offset == 15);
    offset = 0;
    CHECK(warder_next_entry("", 0, &offset, &entry) == 0);
    CHECK_FAILS(warder_next_entry("fab", 3, &offset, &entry), EPROTO);
    CHECK_FAILS(warder_next_entry("f\0d", 4, &offset, &entry), EPROTO);
    CHECK_FAILS(warder_next_entry("", 1, &offset, &entry), EPROTO);
    CHECK_FAILS(warder_next_entry(NULL, 1, &offset, &entry), EINVAL);
    warder_close(w);
    peer_end(other);
}

static void texts_fill_a_buffer_as_snprintf_does(void) {
    static const char whole[] = "26 0 0 0 said|user:web|";
    char text[64];
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_lookup(w, "said", "user:web", NULL, 0) == (ssize_t)sizeof whole - 1);
    memset(text, 'x', sizeof text);
    CHECK(warder_lookup(w, "said", "user:web", text, 4) == (ssize_t)sizeof whole - 1);
    CHECK(memcmp(text, "26 \0x", 5) == 0);
    CHECK(warder_lookup(w, "said", "user:web", text, sizeof whole) == (ssize_t)sizeof whole - 1 && strcmp(text, whole) == 0);
    CHECK(warder_sysctl_get(w, "said", "net.core.somaxconn", text, sizeof text) == 33);
    CHECK(strcmp(text, "27 0 0 0 said|net.core.somaxconn|") == 0);
    CHECK(warder_sysctl_set(w, "said", "net.core.somaxconn", "1024") == 0);
    CHECK(asked(other, "28 0 0 0 said|net.core.somaxconn|1024"));
    CHECK(warder_sysctl_set(w, "said", "kernel.x", "") == 0 && asked(other, "28 0 0 0 said|kernel.x|"));
    strcpy(text, "kept");
    CHECK_FAILS((int)warder_lookup(w, "absent", "host:x", text, sizeof text), ENOENT);
    CHECK(strcmp(text, "kept") == 0);
    CHECK_FAILS((int)warder_lookup(w, "said", NULL, text, sizeof text), EINVAL);
    CHECK_FAILS((int)warder_lookup(w, "said", "user:web", NULL, 5), EINVAL);
    warder_close(w);
    peer_end(other);
}

static void sockets_and_devices_have_their_requests(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(lent(other, warder_raw(w, "said", 0), "21 0 0 0 said||"));
    CHECK(lent(other, warder_packet(w, "said", WARDER_NONBLOCK), "22 8 0 0 said||"));
    CHECK(lent(other, warder_netlink(w, "said", 0), "23 0 0 0 said||"));
    CHECK(lent(other, warder_device(w, "said", "/dev/net/tun", 0), "24 0 0 0 said|/dev/net/tun|"));
    CHECK(lent(other, warder_syslog(w, "said", 0), "32 0 0 0 said||"));
    CHECK(lent(other, warder_dial_nth(w, "said", "tcp:db.example:1", 2, 0), "6 0 0 2 said|tcp:db.example:1|"));
    CHECK_FAILS(warder_raw(w, "said", 1), EINVAL);
    CHECK_FAILS(warder_device(w, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(warder_netlink(w, "denied", 0), EACCES);
    warder_close(w);
    peer_end(other);
}

static void a_command_has_the_ends_that_its_grant_lends(void) {
    static const char *const values[] = {"daily", "/srv/www", "", NULL};
    static const char *const broken[] = {"a\nb", NULL};
    static char large[17000];
    const char *too_large[] = {large, NULL};
    warder_process process;
    peer *other;
    const int before = open_fds();
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_run(w, "run-all", values, &process) == 0 && asked(other, "29 0 0 0 run-all|daily\n/srv/www\n|"));
    CHECK(holds(process.in, "in") && holds(process.out, "out") && holds(process.err, "err") && holds(process.pidfd, "pidfd"));
    CHECK(close_on_exec(process.in) && close_on_exec(process.pidfd) && process.pid == 4711);
    close(process.in);
    close(process.out);
    close(process.err);
    close(process.pidfd);
    CHECK(warder_run(w, "run-some", NULL, &process) == 0 && asked(other, "29 0 0 0 run-some||"));
    CHECK(process.in == -1 && holds(process.out, "out") && process.err == -1 && holds(process.pidfd, "pidfd"));
    close(process.out);
    close(process.pidfd);
    CHECK(warder_run(w, "run-none", NULL, &process) == 0);
    CHECK(process.in == -1 && process.out == -1 && process.err == -1 && process.pidfd == -1);
    CHECK_FAILS(warder_run(w, "denied", NULL, &process), EACCES);
    CHECK_FAILS(warder_run(w, "run-all", broken, &process), EINVAL);
    memset(large, 'a', sizeof large - 1);
    CHECK_FAILS(warder_run(w, "run-all", too_large, &process), E2BIG);

    warder_request request = {.operation = WARDER_RUN, .grant = "run-all"};
    warder_result result;
    CHECK(warder_open_many(w, &request, &result, 1) == 1 && result.value == (15 | 4711ULL << 32));
    CHECK(holds(result.fd, "in") && holds(result.more_fds[0], "out") && holds(result.more_fds[2], "pidfd"));
    close(result.fd);
    for (int i = 0; i < 3; ++i) close(result.more_fds[i]);
    CHECK_FAILS(warder_run(w, "run-wrong", NULL, &process), EPROTO);
    warder_close(w);
    peer_end(other);
    CHECK(fds_return_to(before));
}

static void other_workers_and_narrowing_have_their_requests(void) {
    const warder_narrowing kept = {WARDER_BIT(WARDER_READ) | WARDER_BIT(WARDER_LIST), "in", "*.csv", 5, 0};
    const warder_narrowing reserved = {1, NULL, NULL, 0, 1};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_signal(w, "said", NULL, SIGHUP) == 0 && asked(other, "30 0 0 1 said||"));
    CHECK(warder_signal(w, "said", "web", SIGTERM) == 0 && asked(other, "30 0 0 15 said|web|"));
    CHECK(warder_restart(w, "said", NULL) == 0 && asked(other, "31 0 0 0 said||"));
    CHECK(warder_narrow(w, "said", &kept) == 0 && asked(other, "33 0 5 8194 said|in|*.csv"));
    CHECK(warder_narrow(w, "said", NULL) == 0 && asked(other, "33 0 0 0 said||"));
    CHECK_FAILS(warder_signal(w, NULL, NULL, SIGHUP), EINVAL);
    CHECK_FAILS(warder_signal(w, "said", NULL, 0), EINVAL);
    CHECK_FAILS(warder_restart(w, NULL, NULL), EINVAL);
    CHECK_FAILS(warder_narrow(w, NULL, &kept), EINVAL);
    CHECK_FAILS(warder_narrow(w, "said", &reserved), EINVAL);
    CHECK_FAILS(warder_narrow(w, "denied", NULL), EACCES);
    warder_close(w);
    peer_end(other);
}

static void data_of_one_among_many_goes_where_it_was_told(void) {
    char text[10] = "..........";
    warder_request request = {.operation = WARDER_READLINK, .grant = "said", .target = "a", .data = text, .data_room = 4};
    warder_result result;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_open_many(w, &request, &result, 1) == 1 && result.fd == -1 && result.data_size == 16);
    CHECK(memcmp(text, "12 0......", 10) == 0);
    request.data = NULL;
    CHECK(warder_open_many(w, &request, &result, 1) == 1 && result.data_size == 16);
    request.argument = 7;
    CHECK(warder_open_many(w, &request, &result, 1) == 1 && asked(other, "12 0 0 7 said|a|"));
    warder_close(w);
    peer_end(other);
}

static void nonsense_of_the_new_words_is_refused_before_it_is_sent(void) {
    warder_file file;
    warder_process process;
    char text[8];
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK_FAILS(warder_stat(w, NULL, NULL, &file), EINVAL);
    CHECK_FAILS(warder_stat(w, "said", "a", NULL), EINVAL);
    CHECK_FAILS(warder_access(w, "said", "a", 0), EINVAL);
    CHECK_FAILS(warder_access(w, "said", "a", 8), EINVAL);
    CHECK_FAILS((int)warder_readlink(w, NULL, NULL, text, sizeof text), EINVAL);
    CHECK_FAILS(warder_list(w, NULL, NULL), EINVAL);
    CHECK_FAILS(warder_mkdir(w, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(warder_rmdir(w, NULL, NULL), EINVAL);
    CHECK_FAILS(warder_link(w, "said", "a", NULL), EINVAL);
    CHECK_FAILS(warder_symlink(w, "said", NULL, "a"), EINVAL);
    CHECK_FAILS(warder_chmod(w, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(warder_truncate(w, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(warder_watch(w, "said", "a", 0, 1), EINVAL);
    CHECK_FAILS((int)warder_sysctl_get(w, "said", NULL, text, sizeof text), EINVAL);
    CHECK_FAILS(warder_sysctl_set(w, "said", "a", NULL), EINVAL);
    CHECK_FAILS(warder_run(w, "said", NULL, NULL), EINVAL);
    CHECK_FAILS(warder_run(NULL, "said", NULL, &process), EINVAL);
    CHECK_FAILS(warder_channel(w, NULL, 0), EINVAL);
    CHECK_FAILS(warder_found(NULL, 1, 0, NULL), EINVAL);
    CHECK(peer_messages(other) == 1);
    warder_close(w);
    peer_end(other);
}

static void a_channel_is_its_newest_end(void) {
    warder_event event;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const int before = open_fds();
    CHECK_FAILS(warder_channel(w, "parser", 0), ETIMEDOUT);
    CHECK(warder_last_reason() == WARDER_REASON_DEADLINE);
    CHECK_FAILS(warder_channel(w, "parser", 20), ETIMEDOUT);
    peer_send_event(other, 0x4003, "parser", 1, 1);
    peer_send_event(other, 0x4003, "other", 2, 1);
    peer_send_event(other, 0x4004, "key", 3, 1);
    peer_send_event(other, 0x4003, "parser", 4, 1);
    nap(20);
    int fd = warder_channel(w, "parser", 1000);
    CHECK(fd >= 0 && holds(fd, "parser") && close_on_exec(fd));
    close(fd);
    CHECK_FAILS(warder_channel(w, "parser", 20), ETIMEDOUT);   /* though others are queued */
    fd = warder_channel(w, "other", -1);
    CHECK(fd >= 0 && holds(fd, "other"));
    close(fd);
    CHECK(warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_SECRET && event.value == 3);
    close(event.fd);
    CHECK(warder_next_event(w, &event, 0) == 0);
    CHECK(fds_return_to(before));
    warder_close(w);
    CHECK_FAILS(warder_channel(NULL, "parser", 0), EINVAL);
    peer_end(other);
}

static void a_command_tells_how_it_ended(void) {
    warder_event event;
    warder_end end;
    warder_process process = {.pid = 4711};
    const warder_process another = {.pid = 4712};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK_FAILS(warder_wait(w, &process, &end, 0), ETIMEDOUT);
    peer_send_event(other, 0x4004, "key", 3, 0);
    peer_send_event(other, 0x4007, "backup", UINT64_C(4711) << 32 | 3, 0);
    peer_send_event(other, 0x4007, "backup", UINT64_C(4712) << 32 | 0x309, 0);
    CHECK(warder_wait(w, &another, &end, 1000) == 0 && end.value == 9 && end.by_signal == 1 && end.timed_out == 1);
    CHECK(warder_wait(w, &process, &end, -1) == 0 && end.value == 3 && end.by_signal == 0 && end.timed_out == 0);
    CHECK_FAILS(warder_wait(w, &process, &end, 20), ETIMEDOUT);   /* each is told once */
    CHECK(warder_next_event(w, &event, 0) == 1 && event.type == WARDER_EVENT_SECRET);
    peer_send_event(other, 0x4007, "backup", UINT64_C(4711) << 32, 0);
    CHECK(warder_next_event(w, &event, 1000) == 1 && event.type == WARDER_EVENT_ENDED && event.value >> 32 == 4711);
    CHECK_FAILS(warder_wait(w, NULL, &end, 0), EINVAL);
    CHECK_FAILS(warder_wait(w, &process, NULL, 0), EINVAL);
    CHECK_FAILS(warder_wait(NULL, &process, &end, 0), EINVAL);
    warder_close(w);
    peer_end(other);
}

static void an_end_outlives_other_events_and_its_loss_is_told(void) {
    warder_event event;
    warder_end end;
    warder_process first = {.pid = 0};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_run(w, "run-pid", NULL, &first) == 0 && first.pid > 0);
    peer_send_event(other, 0x4007, "backup", (uint64_t)first.pid << 32 | 3, 0);
    for (int i = 0; i < 100; ++i) peer_send_event(other, 0x4004, "key", (unsigned long)i, 0);
    CHECK(warder_ready(w, NULL) == 0);
    for (uint64_t pid = 100001; pid < 100101; ++pid) {
        peer_send_event(other, 0x4007, "backup", pid << 32, 0);
        if (pid % 64 == 0) CHECK(warder_ready(w, NULL) == 0);   /* the socket has room for so many */
    }
    CHECK(warder_ready(w, NULL) == 0);   /* reads all of it */
    CHECK(warder_wait(w, &first, &end, -1) == 0 && end.value == 3);

    CHECK(warder_run(w, "run-pid", NULL, &first) == 0);
    peer_send_event(other, 0x4007, "backup", (uint64_t)first.pid << 32 | 4, 0);
    for (uint64_t pid = 200001; pid <= 201024; ++pid) {
        peer_send_event(other, 0x4007, "backup", pid << 32, 0);
        if (pid % 64 == 0) CHECK(warder_ready(w, NULL) == 0);
    }
    CHECK(warder_ready(w, NULL) == 0);
    CHECK_FAILS(warder_wait(w, &first, &end, -1), EOVERFLOW);   /* for ever would be too long */
    warder_process later = {.pid = 0};
    CHECK(warder_run(w, "run-pid", NULL, &later) == 0);
    CHECK_FAILS(warder_wait(w, &later, &end, 0), ETIMEDOUT);   /* nothing was dropped since it began */
    unsigned lost = 0;
    while (warder_next_event(w, &event, 0) == 1) lost += event.lost;
    CHECK(lost >= 68 + 101);   /* secrets beyond 32, ends beyond 1024 */
    warder_close(w);
    peer_end(other);
}

static void a_command_does_not_get_the_end_of_an_older_one_with_its_pid(void) {
    warder_end end;
    warder_process process = {.pid = 0};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(warder_run(w, "run-pid", NULL, &process) == 0);
    peer_send_event(other, 0x4007, "backup", (uint64_t)process.pid << 32 | 1, 0);
    CHECK(warder_run(w, "run-pid", NULL, &process) == 0);   /* the peer's commands have one pid */
    CHECK_FAILS(warder_wait(w, &process, &end, 0), ETIMEDOUT);
    peer_send_event(other, 0x4007, "backup", (uint64_t)process.pid << 32 | 2, 0);
    peer_send_event(other, 0x4007, "backup", (uint64_t)process.pid << 32 | 3, 0);
    CHECK(warder_ready(w, NULL) == 0);
    CHECK(warder_wait(w, &process, &end, -1) == 0 && end.value == 3);   /* of two the newest, as in Python */
    CHECK_FAILS(warder_wait(w, &process, &end, 0), ETIMEDOUT);
    warder_close(w);
    peer_end(other);
}

static void an_end_that_another_process_read_is_found(void) {
    warder_end end;
    const warder_process process = {.pid = 4711};
    peer *other;
    warder_connection *w = connect_to(PEER_GROUP, &other);
    peer_send_event(other, 0x4007, "backup", UINT64_C(4711) << 32 | 3, 0);
    const pid_t child = fork();
    if (child == 0) _exit(warder_ready(w, NULL) == 0 ? 0 : 1);   /* which reads what lies before its reply */
    CHECK(child_status(child) == 0);
    CHECK(warder_wait(w, &process, &end, -1) == 0 && end.value == 3);
    warder_close(w);
    peer_end(other);
}

static long voluntary_switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *ask_and_hear_nothing(void *argument) {
    (void)warder_open(argument, "quiet", "a", O_RDONLY, 0);
    return NULL;
}

static void waiting_takes_no_naps(void) {
    pthread_t thread;
    warder_end end;
    const warder_process process = {.pid = 4711};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    peer_send_event(other, 0x4004, "key", 1, 0);   /* what is queued and not wanted */
    CHECK(warder_ready(w, NULL) == 0);
    long before = voluntary_switches();
    CHECK_FAILS(warder_channel(w, "parser", 500), ETIMEDOUT);
    CHECK_FAILS(warder_wait(w, &process, &end, 500), ETIMEDOUT);
    CHECK(voluntary_switches() - before < 20);   /* a nap each 5 ms would be 200 */

    pthread_create(&thread, NULL, ask_and_hear_nothing, w);   /* has the turn for good */
    nap(50);
    before = voluntary_switches();
    warder_event event;
    CHECK(warder_next_event(w, &event, 0) == 1);
    CHECK(warder_next_event(w, &event, 500) == 0);
    CHECK(voluntary_switches() - before < 20);
    peer_send_event(other, 0x4007, "backup", UINT64_C(4711) << 32 | 5, 0);   /* read by the other thread, which rings */
    CHECK(warder_wait(w, &process, &end, -1) == 0 && end.value == 5);
    peer_end(other);
    pthread_join(thread, NULL);
    warder_close(w);
}

static void *ask_slowly(void *argument) {
    for (int i = 0; i < 20; ++i) {
        const int fd = warder_open(argument, "echo", "a", O_RDONLY, 0);
        if (fd < 0) return argument;
        close(fd);
    }
    return NULL;
}

/* Whoever reads an event, it reaches the thread that waits for it, however turns fall. */
static void no_wait_is_missed_between_turns(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    for (int round = 0; round < 100; ++round) {
        pthread_t thread;
        void *failed = NULL;
        warder_end end;
        const warder_process process = {.pid = 100 + round};
        pthread_create(&thread, NULL, ask_slowly, w);
        peer_send_event(other, 0x4007, "backup", (uint64_t)process.pid << 32, 0);
        CHECK(warder_wait(w, &process, &end, -1) == 0);
        pthread_join(thread, &failed);
        CHECK(failed == NULL);
    }
    warder_close(w);
    peer_end(other);
}

static void *connect_and_wait(void *argument) {
    return warder_connect_fd(*(int *)argument);
}

static void a_connect_that_waits_holds_up_no_fork(void) {
    int pair[2];
    pthread_t thread;
    void *made = NULL;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    pthread_create(&thread, NULL, connect_and_wait, &pair[0]);   /* nobody answers its hello */
    char hello[256];
    CHECK(recv(pair[1], hello, sizeof hello, 0) > 0);
    alarm(30);   /* a fork that waits for the answer would wait for ever */
    const pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK(child_status(child) == 0);
    alarm(0);
    close(pair[1]);
    pthread_join(thread, &made);
    CHECK(made == NULL);
    close(pair[0]);
}

static void a_store_is_not_emptied_by_who_has_no_room(void) {
    char text[64];
    int end;
    int got[8];
    peer *other;
    struct rlimit limit, tight;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    descriptor_store *keeper = descriptor_store_start(&end);
    CHECK(warder_use_store(w, end) == 0);
    const int fds[5] = {0, 1, 2, 0, 1};
    CHECK(warder_store_put(w, "five", fds, 5) == 0);
    CHECK_FAILS(warder_store_fetch(w, "five", got, 4), ERANGE);
    const int next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = (rlim_t)next + 3;
    setrlimit(RLIMIT_NOFILE, &tight);
    CHECK_FAILS(warder_store_fetch(w, "five", got, 8), EMFILE);
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK(warder_store_list(w, text, sizeof text) == 7 && strcmp(text, "five 5\n") == 0);
    CHECK(warder_store_fetch(w, "five", got, 5) == 5);
    for (int i = 0; i < 5; ++i) close(got[i]);
    warder_close(w);
    descriptor_store_end(keeper);
    peer_end(other);
}

static void a_sentence_comes_whole_in_a_batch_too(void) {
    char target[300];
    memset(target, 'x', sizeof target);
    target[sizeof target - 1] = '\0';
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const warder_request request = {.operation = WARDER_READ, .grant = "long", .target = target};
    warder_result result;
    CHECK(warder_open_many(w, &request, &result, 1) == 0 && result.error == EACCES);
    CHECK(strlen(result.why) == 480 && strcmp(result.why + 470, "the remedy") == 0);
    CHECK_FAILS(warder_open(w, "long", "a", O_RDONLY, 0), EACCES);
    CHECK(strcmp(warder_why(), result.why) == 0);
    warder_close(w);
    CHECK(strcmp(warder_worker(NULL), "") == 0);
    peer_end(other);
}

static void *dial_later(void *argument) {
    nap(50);
    peer_send_event(argument, 0x4003, "parser", 1, 1);
    return NULL;
}

static void a_channel_is_waited_for(void) {
    pthread_t thread;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    peer_send_event(other, 0x4005, "db", 0, 0);   /* what is queued does not end the wait */
    pthread_create(&thread, NULL, dial_later, other);
    const int fd = warder_channel(w, "parser", 10000);
    CHECK(fd >= 0 && holds(fd, "parser"));
    close(fd);
    pthread_join(thread, NULL);
    warder_close(w);
    peer_end(other);
}

static void lookups_reach_the_resolver_and_are_answered(void) {
    warder_event event;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    static char name[300];
    memcpy(name, "host:", 5);
    memset(name + 5, 'a', 255);
    peer_send_event(other, 0x4006, name, 77, 0);
    CHECK(warder_next_event(w, &event, 5000) == 1 && event.type == WARDER_EVENT_LOOKUP && event.value == 77);
    CHECK(strcmp(event.name, name) == 0 && event.fd == -1);
    const unsigned long before = peer_messages(other);
    CHECK(warder_found(w, 77, 0, "192.0.2.1") == 0);
    CHECK(warder_found(w, 78, ENOENT, NULL) == 0);
    CHECK(warder_status(w, "well") == 0);   /* the replies that came meanwhile are nobody's */
    CHECK(peer_messages(other) == before + 3);
    warder_close(w);
    peer_end(other);
}

static void the_store_keeps_and_gives_back(void) {
    const int before = open_fds();
    char text[64];
    int end;
    int fds[2];
    int got[4] = {-7, -7, -7, -7};
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK_FAILS(warder_store_put(w, "a", fds, 2), ENOENT);
    descriptor_store *keeper = descriptor_store_start(&end);
    fcntl(end, F_SETFD, 0);
    CHECK(warder_use_store(w, end) == 0 && close_on_exec(end));
    CHECK_FAILS(warder_use_store(w, end), EBUSY);
    CHECK(warder_store_put(w, "a", fds, 2) == 0);
    CHECK_FAILS(warder_store_put(w, "a", fds, 1), EEXIST);
    CHECK(warder_store_put(w, "b", fds + 1, 1) == 0);
    close(fds[0]);
    close(fds[1]);
    CHECK(warder_store_list(w, text, sizeof text) == 8 && strcmp(text, "a 2\nb 1\n") == 0);
    CHECK(warder_store_list(w, NULL, 0) == 8);
    CHECK(warder_store_fetch(w, "a", got, 4) == 2 && got[2] == -7);
    CHECK(close_on_exec(got[0]) && write(got[1], "x", 1) == 1 && read(got[0], text, 1) == 1 && text[0] == 'x');
    close(got[0]);
    close(got[1]);
    CHECK_FAILS(warder_store_fetch(w, "a", got, 4), ENOENT);
    CHECK_FAILS(warder_store_fetch(w, "b", got, 0), ERANGE);   /* no room: it stays kept */
    CHECK_FAILS(warder_store_fetch(w, "b", NULL, 0), ERANGE);
    CHECK(warder_store_list(w, text, sizeof text) == 4 && strcmp(text, "b 1\n") == 0);
    CHECK(warder_store_fetch(w, "b", got, 1) == 1);
    close(got[0]);
    CHECK_FAILS(warder_store_put(w, "quota", fds + 1, 0), EINVAL);
    CHECK_FAILS(warder_store_put(w, "none", &(int){-1}, 1), EBADF);
    CHECK_FAILS(warder_store_put(w, "quota", &end, 1), EDQUOT);
    CHECK(strcmp(warder_why(), "grant keep holds 2 descriptors at most") == 0);
    CHECK(warder_last_reason() == WARDER_REASON_TOO_MANY);
    CHECK_FAILS(warder_store_fetch(w, "stale", got, 4), ENOENT);
    CHECK(warder_store_put(w, "keeps", &end, 1) == 0);   /* what nobody asked for is closed */
    CHECK_FAILS(warder_store_put(w, "type", &end, 1), EPROTO);
    CHECK_FAILS((int)warder_store_list(w, text, sizeof text), EPROTO);
    CHECK(warder_ready(w, NULL) == 0);   /* the other socket is none the worse */
    warder_close(w);
    descriptor_store_end(keeper);
    peer_end(other);
    CHECK(fds_return_to(before));
}

static void the_end_of_the_descriptor_store_is_econnreset(void) {
    int end;
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    descriptor_store *keeper = descriptor_store_start(&end);
    CHECK(warder_use_store(w, end) == 0);
    CHECK_FAILS(warder_store_put(w, "close", &end, 1), ECONNRESET);
    CHECK_FAILS(warder_store_fetch(w, "a", &end, 1), ECONNRESET);
    CHECK(warder_ready(w, NULL) == 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        CHECK_FAILS(warder_store_fetch(w, "a", &end, 1), EPERM);
        CHECK_FAILS(warder_use_store(w, 0), EPERM);
        fflush(stdout);
        _exit(failures);
    }
    CHECK(child_status(child) == 0);
    warder_close(w);
    descriptor_store_end(keeper);
    peer_end(other);
}

static void the_environment_names_the_store(void) {
    char text[16];
    char lines[16];
    int end;
    int store;
    peer *other = peer_start(PEER_MAIN, &end);
    descriptor_store *keeper = descriptor_store_start(&store);
    fcntl(store, F_SETFD, 0);
    snprintf(text, sizeof text, "%d", end);
    setenv(WARDER_SOCKET_VARIABLE, text, 1);
    snprintf(text, sizeof text, "%d", store);
    setenv(WARDER_STORE_VARIABLE, text, 1);
    warder_connection *w = warder_connect();
    CHECK(w != NULL && close_on_exec(store));
    CHECK(warder_store_list(w, lines, sizeof lines) == 0 && lines[0] == '\0');
    warder_close(w);
    unsetenv(WARDER_STORE_VARIABLE);
    descriptor_store_end(keeper);
    peer_end(other);
}

struct keeping {
    warder_connection *connection;
    const char *name;
    int wrong;
};

static void *keep_and_fetch(void *argument) {
    struct keeping *job = argument;
    for (int i = 0; i < 200; ++i) {
        int got = -1;
        const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        job->wrong += warder_store_put(job->connection, job->name, &fd, 1) != 0;
        job->wrong += warder_store_fetch(job->connection, job->name, &got, 1) != 1 || got < 0;
        close(fd);
        close(got);
    }
    return NULL;
}

static void threads_and_processes_share_the_store(void) {
    static const char *const names[4] = {"t1", "t2", "t3", "t4"};
    struct keeping jobs[4];
    pthread_t ids[4];
    pid_t children[2];
    int end;
    peer *other;
    const int before = open_fds();
    warder_connection *w = connect_to(PEER_GROUP, &other);
    descriptor_store *keeper = descriptor_store_start(&end);
    CHECK(warder_use_store(w, end) == 0);
    fflush(stdout);
    for (int i = 0; i < 4; ++i) {
        jobs[i] = (struct keeping){w, names[i], 0};
        pthread_create(&ids[i], NULL, keep_and_fetch, &jobs[i]);
        if (i >= 2) continue;
        children[i] = fork();   /* while threads hold its turn */
        if (children[i] == 0) {
            struct keeping job = {w, i == 0 ? "p1" : "p2", 0};
            keep_and_fetch(&job);
            _exit(job.wrong == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < 2; ++i) CHECK(child_status(children[i]) == 0);
    for (int i = 0; i < 4; ++i) {
        pthread_join(ids[i], NULL);
        CHECK(jobs[i].wrong == 0);
    }
    warder_close(w);
    descriptor_store_end(keeper);
    peer_end(other);
    CHECK(fds_return_to(before));
}

/* A clone without CLONE_VM runs no handlers of fork: the kernel alone clears the mark. */
static void a_bare_clone_under_main_touches_nothing_either(void) {
    peer *other;
    warder_connection *w = connect_to(PEER_MAIN, &other);
    const unsigned long before = peer_messages(other);
    fflush(stdout);
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(warder_ready(w, "no") == -1 && errno == EPERM ? 0 : 1);
    CHECK(child_status(child) == 0);
    CHECK(peer_messages(other) == before);
    CHECK(warder_ready(w, NULL) == 0);
    warder_close(w);
    peer_end(other);
}

static void the_version_is_the_headers(void) {
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", WARDER_VERSION_MAJOR, WARDER_VERSION_MINOR, WARDER_VERSION_PATCH);
    CHECK(strcmp(warder_version(), text) == 0);
}

int main(void) {
    const int before = open_fds();
    the_version_is_the_headers();
    a_connection_comes_and_goes();
    the_environment_names_the_socket();
    a_failed_connect_leaves_the_descriptor_to_the_caller();
    descriptors_are_the_callers_and_close_on_exec();
    a_denial_has_errno_reason_and_sentence();
    nonsense_is_refused_before_it_is_sent();
    many_requests_in_one_message();
    a_broken_answer_is_eproto();
    a_late_reply_to_somebody_else_is_dropped();
    events_wait_until_they_are_asked_for();
    events_beyond_the_queue_are_counted();
    an_event_may_come_before_the_hello_is_answered();
    the_end_of_the_session_is_econnreset();
    no_room_for_a_descriptor_is_emfile();
    threads_share_one_connection();
    a_forked_child_under_main_touches_nothing();
    processes_under_group_share_the_socket();
    a_holder_of_the_turn_that_dies_stops_nobody();
    stop_reaches_the_process_that_connected();
    signals_interrupt_nothing();
    paths_have_their_requests();
    a_list_is_walked();
    texts_fill_a_buffer_as_snprintf_does();
    sockets_and_devices_have_their_requests();
    a_command_has_the_ends_that_its_grant_lends();
    other_workers_and_narrowing_have_their_requests();
    data_of_one_among_many_goes_where_it_was_told();
    nonsense_of_the_new_words_is_refused_before_it_is_sent();
    a_channel_is_its_newest_end();
    a_command_tells_how_it_ended();
    an_end_outlives_other_events_and_its_loss_is_told();
    a_command_does_not_get_the_end_of_an_older_one_with_its_pid();
    an_end_that_another_process_read_is_found();
    waiting_takes_no_naps();
    no_wait_is_missed_between_turns();
    a_connect_that_waits_holds_up_no_fork();
    a_store_is_not_emptied_by_who_has_no_room();
    a_sentence_comes_whole_in_a_batch_too();
    a_channel_is_waited_for();
    lookups_reach_the_resolver_and_are_answered();
    the_store_keeps_and_gives_back();
    the_end_of_the_descriptor_store_is_econnreset();
    the_environment_names_the_store();
    threads_and_processes_share_the_store();
    a_bare_clone_under_main_touches_nothing_either();
    CHECK(fds_return_to(before));
    printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
