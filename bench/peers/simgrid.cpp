/*
 * SimGrid as a message simulator: --nodes (1000) hosts with one actor each. In every one of --rounds (20) rounds each actor
 * posts 100 bytes to somebody else's mailbox, takes what came to its own, and waits until its own has arrived.
 *
 *   simgrid [--nodes N] [--rounds R]        (above some 10,000 hosts its own thread needs `ulimit -s unlimited`)
 *
 * Prints simgrid (messages of all actors in a second of the processor's time) and simgrid_memory (what the process took from
 * the system, per host). In its favour:
 * nothing is encoded, checked or decoded, an actor keeps no state, all hosts hang on one star (the cheapest zone that has
 * links), stacks are of 16 KiB without guard pages. What it does more than our simulated world: bandwidth is shared between
 * flows, solved for fairness whenever one begins or ends; ours has latency, loss, order, bounded queues and blocked ways.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <simgrid/s4u.hpp>
#include <string>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace s4u = simgrid::s4u;

static unsigned nodes = 1000, rounds = 20;
static uint64_t received;
static std::vector<s4u::Mailbox *> boxes;
static std::vector<unsigned> steps;
static char payload[100];

static double cpu_s()
{
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t resident_bytes()
{
    unsigned long total = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
        abort();
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void peer(unsigned self)
{
    for (unsigned step : steps) {
        s4u::CommPtr out = boxes[(self + step) % nodes]->put_async(payload, sizeof payload);
        boxes[self]->get<char>();
        received++;
        out->wait();
    }
}

static void build()
{
    s4u::NetZone *star = s4u::create_star_zone("star");
    for (unsigned i = 0; i < nodes; i++) {
        std::string name = "h" + std::to_string(i);
        s4u::Host *host = star->create_host(name, 1e9);
        const s4u::Link *link = star->create_split_duplex_link("l" + std::to_string(i), 1.25e7)->set_latency(0.02)->seal();
        star->add_route(host->get_netpoint(), nullptr, nullptr, nullptr, {{link, s4u::LinkInRoute::Direction::UP}}, true);
        boxes.push_back(s4u::Mailbox::by_name(name));
    }
    star->seal();
    for (unsigned i = 0; i < nodes; i++)
        s4u::Actor::create("a", s4u::Host::by_name("h" + std::to_string(i)), [i] { peer(i); });
}

int main(int argc, char **argv)
{
    int none = 1;
    s4u::Engine engine(&none, argv);
    for (int i = 1; i + 1 < argc; i += 2)
        (strcmp(argv[i], "--nodes") == 0 ? nodes : rounds) = (unsigned)strtoul(argv[i + 1], nullptr, 10);
    if (nodes < 2 || !rounds)
        return 2;
    s4u::Engine::set_config("contexts/stack-size:16");
    s4u::Engine::set_config("contexts/guard-size:0");
    std::mt19937 rng(1);
    for (unsigned i = 0; i < rounds; i++)
        steps.push_back(1 + (unsigned)(rng() % (nodes - 1))); /* the same for all: everybody gets one a round */
    uint64_t before = resident_bytes();
    build();
    double begun = cpu_s();
    engine.run();
    double took = cpu_s() - begun;
    if (received != (uint64_t)nodes * rounds)
        return 1;
    printf("{\"bench\":\"simgrid\",\"value\":%.0f,\"unit\":\"msg/s\",\"nodes\":%u,\"messages\":%llu,\"simulated_s\":%.3f}\n",
           (double)received / took, nodes, (unsigned long long)received, s4u::Engine::get_clock());
    printf("{\"bench\":\"simgrid_memory\",\"value\":%.0f,\"unit\":\"B/node\",\"nodes\":%u}\n", (double)(resident_bytes() - before) / nodes, nodes);
}
