/* Little-endian integers in byte strings: everything fixed on our wire. */
#ifndef P2PS_BASE_LE_H
#define P2PS_BASE_LE_H
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "add byte swapping here for big-endian machines"
#endif
static inline uint16_t le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void put_le16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void put_le32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void put_le64(void *p, uint64_t v) { memcpy(p, &v, 8); }
#endif
