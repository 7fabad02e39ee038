/* Copies into memory larger than the cache that nobody reads soon: written past the cache where that can be done, so that they neither
 * wait for old contents to be read nor drive out what is in use. */
#ifndef MATCHMARK_PAST_CACHE_H
#define MATCHMARK_PAST_CACHE_H

#include <stddef.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* `to` is aligned to 16 bytes, `bytes` a multiple of it. */
static inline void mm_copy_past_cache(void *to, const void *from, size_t bytes)
{
#if defined(__SSE2__)
    const __m128i *in = (const __m128i *)from;
    __m128i *out = (__m128i *)to;
    for (size_t i = 0; i < bytes / sizeof *in; i++)
        _mm_stream_si128(out + i, _mm_loadu_si128(in + i));
#else
    memcpy(to, from, bytes);
#endif
}

/* Before anyone is told that they are there. */
static inline void mm_copies_done(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
