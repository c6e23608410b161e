/* The other side of a connection, for tests of the client: a thread that speaks the protocol, and breaks it when the name
 * of the grant asks for that. Callable from C. */
#ifndef WARDER_TESTS_ABI_PEER_H
#define WARDER_TESTS_ABI_PEER_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peer peer;

enum peer_mode {
    PEER_MAIN,             /* request_access = "main" */
    PEER_GROUP,            /* request_access = "all" */
    PEER_NO_VERSION,       /* hello is answered with EPROTONOSUPPORT */
    PEER_REFUSES,          /* hello is answered with a done: EPERM */
    PEER_OTHER_VERSION,    /* hello is answered with a version that was not offered */
    PEER_GARBAGE,          /* hello is answered with garbage */
    PEER_SILENT_CLOSE,     /* hello is answered by closing */
    PEER_EVENT_FIRST       /* a stop comes before the answer to hello */
};

/* Starts a peer. `*worker_end` is the client's descriptor, the caller's. */
peer *peer_start(enum peer_mode mode, int *worker_end);

/* Ends the thread and closes its end. */
void peer_end(peer *that);

/* How many messages came in so far, hello included. */
unsigned long peer_messages(const peer *that);

/* Sends an event of protocol type `type`; with one descriptor if `with_fd`. */
void peer_send_event(peer *that, int type, const char *name, unsigned long value, int with_fd);

/* What the last request that came in said: "operation flags mode argument grant|target|second". */
void peer_last_request(peer *that, char *text, unsigned long size);

/* A descriptor store, a thread of its own: keeps, gives back and lists. By the name: "quota" gives EDQUOT and a sentence, "stale" first
 * answers somebody else with a descriptor, "type" answers with another type, "keeps" says done and gives a descriptor to who
 * puts, "close" closes the connection. */
typedef struct descriptor_store descriptor_store;
descriptor_store *descriptor_store_start(int *worker_end);
void descriptor_store_end(descriptor_store *that);

/* What asks get, by the name of the grant:
 *   "said"        what peer_last_request() gives, in a memfd or as data; of a stat, its 72 bytes
 *   "run-all", "run-some", "run-none"     a run's descriptors: all four, output and pidfd, none;   "run-pid"  none, and a pid
 *   "run-wrong"   breaks the protocol: two ends are said, one descriptor comes
 *   "list", "no-list"     a memfd with three names; one that is no list
 *   "echo"        a memfd that holds the target's text
 *   "denied"      EACCES, not-granted, a sentence;   "absent"  ENOENT, system, no sentence
 *   "long"        EACCES and a sentence of 480 bytes that ends in "the remedy"
 *   "slow"        as echo, after 100 ms
 *   "quiet"       no answer at all
 *   "stale"       first a reply with another id and a descriptor, then as echo
 *   "events"      first a secret event with a descriptor and a stop, then as echo
 *   "done"        a done with EDQUOT and a sentence;  "done-ok"  a done without error
 *   "close"       closes the connection instead
 *   "empty", "short", "lengths", "flags", "type", "count", "no-fd", "two-fds", "fd-with-error", "negative",
 *   "huge-error", "two-announced", "text-outside", "none-announced", "bad-event", "event-two-fds", "event-no-fd"     breaks the protocol in that way */

#ifdef __cplusplus
}
#endif

#endif
