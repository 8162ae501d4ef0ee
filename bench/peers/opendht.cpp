/*
 * OpenDHT: a network of --nodes (64) processes with one node each, in clear text on loopback; values are put from one
 * node, then fetched from another that has not seen them. Every key is fetched once: nothing comes out of a cache.
 *
 *   opendht [--count N] [--outstanding N] [--nodes N]
 *
 * Prints put_serial, lookup64_serial (one get after another) and lookup64_16 (16 outstanding). In its favour: its rate
 * limits are off (all nodes share an address here), a get is over with its first value, and a node that is itself one
 * of the eight that keep the value answers from its own store.
 */
#include "../bench.h"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <opendht.h>
#include <string>
#include <unistd.h>
#include <vector>

static constexpr int value_size = 100, stir_searches = 12;
static constexpr dht::NetId network = 7711;

/* How far the network is; each step starts when all nodes have done the one before. */
struct board {
    volatile int port, ready, stir, stirred, put, have_put;
};

static dht::SockAddr loopback(int port)
{
    dht::SockAddr a;
    a.setFamily(AF_INET);
    a.setAddress("127.0.0.1");
    a.setPort((in_port_t)port);
    return a;
}

static dht::DhtRunner::Config make_config()
{
    dht::DhtRunner::Config c;
    c.dht_config.node_config.network = network;
    c.dht_config.node_config.max_req_per_sec = -1;
    c.dht_config.node_config.max_peer_req_per_sec = -1;
    c.dht_config.node_config.max_searches = -1;
    c.dht_config.node_config.max_store_size = -1;
    c.dht_config.node_config.max_store_keys = -1;
    c.bind4 = loopback(0);
    return c;
}

static void start_node(dht::DhtRunner &node, int bootstrap_port)
{
    node.run(make_config(), {});
    if (bootstrap_port)
        node.bootstrap(loopback(bootstrap_port));
}

static bool is_connected(dht::DhtRunner &node, unsigned peers)
{
    return node.getNodesStats(AF_INET).good_nodes >= peers;
}

/* At most `limit` operations under way; the callbacks of OpenDHT's thread end them. */
class window {
public:
    window(size_t limit, size_t total) : limit(limit) { bench_samples_init(&samples, total); }
    ~window() { free(samples.ns); }

    uint64_t begin()
    {
        std::unique_lock<std::mutex> lock(mutex);
        if (!changed.wait_for(lock, std::chrono::seconds(20), [&] { return active < limit; }))
            bench_die("opendht: an operation does not end");
        active++;
        return bench_now_ns();
    }

    void end(uint64_t start, bool good)
    {
        std::lock_guard<std::mutex> lock(mutex);
        if (good)
            bench_samples_add(&samples, bench_now_ns() - start);
        else
            failed++;
        active--;
        changed.notify_one();
    }

    void drain()
    {
        std::unique_lock<std::mutex> lock(mutex);
        if (!changed.wait_for(lock, std::chrono::seconds(20), [&] { return !active; }))
            bench_die("opendht: an operation does not end");
    }

    void report(const char *name, uint64_t begun, size_t total)
    {
        char extra[64];
        snprintf(extra, sizeof extra, "\"count\":%zu,\"failed\":%zu", total, failed);
        if (failed * 100 > total)
            bench_die("opendht: %zu of %zu operations failed", failed, total);
        bench_report(name, (double)(total - failed) * 1e9 / (double)(bench_now_ns() - begun), "op/s", &samples, extra);
    }

private:
    std::mutex mutex;
    std::condition_variable changed;
    size_t limit, active = 0, failed = 0;
    bench_samples samples;
};

static dht::InfoHash key_of(size_t i)
{
    return dht::InfoHash::get("p2ps bench " + std::to_string(i));
}

static void put_all(dht::DhtRunner &node, size_t total, size_t measured)
{
    std::vector<uint8_t> data(value_size, 'x');
    auto put = [&](window &w, size_t i) {
        uint64_t start = w.begin();
        node.put(key_of(i), dht::Value(data), [&w, start](bool ok) { w.end(start, ok); });
    };
    window serial(1, measured), rest(8, total);
    uint64_t begun = bench_now_ns();
    for (size_t i = 0; i < measured; i++)
        put(serial, i);
    serial.drain();
    serial.report("put_serial", begun, measured);
    for (size_t i = measured; i < total; i++)
        put(rest, i);
    rest.drain();
}

static void get_range(dht::DhtRunner &node, const char *name, size_t from, size_t count, size_t outstanding)
{
    struct get {
        uint64_t start;
        bool ended = false;
    };
    window w(outstanding, count);
    uint64_t begun = bench_now_ns();
    for (size_t i = from; i < from + count; i++) {
        auto g = std::make_shared<get>();
        g->start = w.begin();
        auto end = [g, &w](bool good) {
            if (!g->ended)
                w.end(g->start, good);
            g->ended = true;
        };
        node.get(
            key_of(i),
            [end](const std::vector<std::shared_ptr<dht::Value>> &values) {
                end(values.size() && values[0]->data.size() >= value_size);
                return false;
            },
            [end](bool) { end(false); });
    }
    w.drain();
    if (name)
        w.report(name, begun, count);
    /* The ends of finished searches may still refer to `w`. */
    usleep(500000);
}

/* Searches for keys that nobody has, so that every node meets nodes from all over the ring before anything counts. */
static void stir(dht::DhtRunner &node, int index)
{
    window w(1, stir_searches);
    for (int i = 0; i < stir_searches; i++) {
        uint64_t start = w.begin();
        node.get(
            key_of((size_t)(1000000 + index * 1000 + i)),
            [](const std::vector<std::shared_ptr<dht::Value>> &) { return true; },
            [&w, start](bool) { w.end(start, true); });
    }
    w.drain();
}

static void wait_for(const volatile int &step, int value)
{
    while (step < value) {
        bench_check_children();
        usleep(5000);
    }
}

static void child(struct board *b, int index, size_t total, size_t measured)
{
    dht::DhtRunner node;
    start_node(node, index ? b->port : 0);
    if (!index)
        b->port = node.getBoundPort();
    while (!is_connected(node, 3))
        usleep(20000);
    __atomic_fetch_add(&b->ready, 1, __ATOMIC_SEQ_CST);
    while (!b->stir)
        usleep(20000);
    stir(node, index);
    __atomic_fetch_add(&b->stirred, 1, __ATOMIC_SEQ_CST);
    while (index == 1 && !b->put)
        usleep(5000);
    if (index == 1) {
        put_all(node, total, measured);
        b->have_put = 1;
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    struct bench_options o = {};
    o.nodes = 64;
    o.count = 500;
    o.outstanding = 16;
    bench_parse(argc, argv, &o);
    if (o.nodes < 8)
        bench_die("opendht: at least 8 nodes");
    bench_deadline(170);
    auto *b = (struct board *)bench_shared(sizeof(struct board));
    size_t count = (size_t)o.count, warm = count / 4, total = warm + 2 * count;
    for (int i = 0; i < o.nodes - 1; i++) {
        if (!bench_fork())
            child(b, i, total, count);
        while (!b->port)
            usleep(1000);
        usleep(20000);
    }
    dht::DhtRunner node;
    start_node(node, b->port);
    wait_for(b->ready, o.nodes - 1);
    b->stir = 1;
    stir(node, o.nodes);
    wait_for(b->stirred, o.nodes - 1);
    b->put = 1;
    wait_for(b->have_put, 1);
    get_range(node, NULL, 0, warm, 4);
    get_range(node, "lookup64_serial", warm, count, 1);
    get_range(node, "lookup64_16", warm + count, count, (size_t)o.outstanding);
    fflush(stdout);
    exit(0);
}
