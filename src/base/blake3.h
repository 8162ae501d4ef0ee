/* BLAKE3: a hash that a processor computes for many pieces of a message at once. Casts hash all that they carry at every
 * node that passes them on, and with SHA-256, one block after the other, that is a third of what a broadcast costs. */
#ifndef P2PS_BASE_BLAKE3_H
#define P2PS_BASE_BLAKE3_H
#include <stddef.h>
#include <stdint.h>

void blake3(uint8_t out[32], const void *p, size_t n);

/* For tests: how many pieces at once this processor can do (1, 4 ... the most last), and the hash in that way. */
unsigned blake3_ways(unsigned lanes[4]);
void blake3_with(unsigned lanes, uint8_t out[32], const void *p, size_t n);
#endif
